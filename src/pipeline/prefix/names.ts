/**
 * Names of prefixes: a chain of hashes over runs of token ids, each over the one before. They are keyed by a secret of the
 * origin, so a hop can tell that two prompts of this origin begin alike, and nothing of what stands in them.
 */
import { createHmac } from 'node:crypto'

/** Rows of a run: a prefix is found to within one run; a name costs 16 bytes in the opening of a hop. */
export const RUN_ROWS = 16
export const NAME_BYTES = 16
/** Runs that are named of one text: 65,536 rows. What is beyond is computed. */
export const MAX_RUNS = 4096

export class PrefixNames {
  readonly #secret: Uint8Array
  readonly #digest: string

  /** @param digest of the model: the same ids of another one have other names */
  constructor(secret: Uint8Array, digest: string) {
    this.#secret = secret
    this.#digest = digest
  }

  /** Of the whole runs of `ids`, one after another, NAME_BYTES each. */
  of(ids: readonly number[]): Uint8Array<ArrayBuffer> {
    const runs = Math.min(Math.floor(ids.length / RUN_ROWS), MAX_RUNS)
    const out = new Uint8Array(runs * NAME_BYTES)
    let last: Uint8Array = Buffer.from(this.#digest)
    for (let run = 0; run < runs; run++) {
      const bytes = new Uint8Array(Int32Array.from(ids.slice(run * RUN_ROWS, (run + 1) * RUN_ROWS)).buffer)
      last = createHmac('sha256', this.#secret).update(last).update(bytes).digest().subarray(0, NAME_BYTES)
      out.set(last, run * NAME_BYTES)
    }
    return out
  }
}

/**
 * Names as they come, as keys of a store.
 * @param scope of whom they are, and over which stages: elsewhere the same name is another prefix
 */
export function prefixKeys(scope: string, names: Uint8Array): string[] {
  const keys: string[] = []
  for (let at = 0; at + NAME_BYTES <= names.length; at += NAME_BYTES)
    keys.push(`${scope}/${Buffer.from(names.subarray(at, at + NAME_BYTES)).toString('base64')}`)
  return keys
}
