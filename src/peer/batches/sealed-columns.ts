/**
 * What of batches is sealed in their file: inputs and results, which hold prompts and answers. What was written before they were
 * is read as it lies there.
 */
import { SEAL_BYTES } from '../../trust/index.ts'
import type { AtRest } from '../../trust/index.ts'

/** Neither a line of JSON nor a file of such lines begins with it. */
const MARK = 'wfs1:'
const MARK_BYTES = Buffer.from(MARK)

/** Bytes of an input as it was, in SQL. */
export const CONTENT_BYTES: string = `CASE WHEN substr(content, 1, ${MARK.length}) = x'${MARK_BYTES.toString('hex')}'
  THEN length(content) - ${MARK.length + SEAL_BYTES} ELSE length(content) END`
/** Bytes of a result as it was, in SQL: base64 without padding has four letters for three bytes. */
export const TEXT_BYTES: string = `CASE WHEN substr(text, 1, ${MARK.length}) = '${MARK}'
  THEN (octet_length(text) - ${MARK.length}) * 3 / 4 - ${SEAL_BYTES} ELSE octet_length(text) END`

export class SealedColumns {
  readonly #atRest: AtRest | undefined

  /** @param atRest undefined: nothing is sealed */
  constructor(atRest: AtRest | undefined) {
    this.#atRest = atRest
  }

  content(id: string, content: Uint8Array): Uint8Array {
    if (this.#atRest === undefined) return content
    return Buffer.concat([MARK_BYTES, this.#atRest.seal(`file ${id}`, content)])
  }

  /** @throws Error where it does not open */
  openContent(id: string, stored: Uint8Array): Uint8Array {
    if (Buffer.compare(stored.subarray(0, MARK.length), MARK_BYTES) !== 0) return stored
    return this.#open(`file ${id}`, stored.subarray(MARK.length))
  }

  text(batch: string, line: number, text: string): string {
    if (this.#atRest === undefined) return text
    const sealed = this.#atRest.seal(`result ${batch} ${line}`, Buffer.from(text))
    return `${MARK}${sealed.toString('base64').replace(/=+$/, '')}`
  }

  /** @throws Error where it does not open */
  openText(batch: string, line: number, stored: string): string {
    if (!stored.startsWith(MARK)) return stored
    return this.#open(`result ${batch} ${line}`, Buffer.from(stored.slice(MARK.length), 'base64')).toString('utf8')
  }

  #open(place: string, sealed: Uint8Array): Buffer {
    const opened = this.#atRest?.open(place, sealed)
    if (opened === undefined) throw new SealBrokenError()
    return opened
  }
}

/** For whoever has the file: it says what is wrong with it. */
export class SealBrokenError extends Error {
  constructor() {
    super('it was sealed by another identity, or changed since')
  }
}
