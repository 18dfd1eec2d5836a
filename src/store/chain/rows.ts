/** Holds the rows of a chain against each other: one after another, each with its hash, its number and the one before. */
import { parsedJson } from '../durable.ts'
import { chainHash, headBytes } from './head.ts'
import { EMPTY_CHAIN } from './types.ts'
import type { ChainHead, ChainKind, ChainLink, ChainSigner } from './types.ts'

/** An entry is some hundred bytes. */
const MAX_BODY = 16_384

export interface CheckedRows<Entry> {
  /** Those before the fault, or all. */
  readonly entries: Entry[]
  readonly hashes: string[]
  /** Number of the last entry whose signature holds: it covers the chain before it. 0: none. */
  readonly signed: number
  readonly fault?: { readonly entry: number; readonly why: string }
}

/**
 * @param rows with seq, body, hash and signature
 * @param signatures `last`: the last must hold, the others are not looked at. `each`: every one must hold, but of entries that
 * say themselves that they have none
 * @param before where the rows begin: behind this head
 */
export function checkRows<Entry extends ChainLink>(
  kind: ChainKind<Entry>,
  rows: Iterable<Readonly<Record<string, unknown>>>,
  signer: Pick<ChainSigner, 'verify'>,
  signatures: 'last' | 'each',
  before: ChainHead = EMPTY_CHAIN,
): CheckedRows<Entry> {
  const entries: Entry[] = []
  const hashes: string[] = []
  let signed = 0
  let last: unknown
  const head = (): ChainHead => ({ seq: before.seq + hashes.length, hash: hashes.at(-1) ?? before.hash })
  const fault = (why: string, entry = head().seq + 1): CheckedRows<Entry> => ({
    entries,
    hashes,
    signed,
    fault: { entry, why },
  })
  for (const { seq, body, hash, signature } of rows) {
    if (typeof body !== 'string' || body.length > MAX_BODY || typeof hash !== 'string') return fault('it is no entry')
    if (chainHash(kind.entryDomain, body) !== hash) return fault('its text is not the one that was hashed')
    const entry = kind.check(parsedJson(body))
    if (entry === undefined) return fault('its fields are not those of an entry')
    if (seq !== head().seq + 1 || entry.seq !== seq) return fault('its number does not follow')
    if (entry.previous !== head().hash) return fault('it does not follow the one before')
    last = signature
    const isNone = signature instanceof Uint8Array && signature.length === 0
    if (signatures === 'each' && !(isNone && kind.isUnsigned?.(entry) === true)) {
      if (!holds(kind, signer, { seq: entry.seq, hash }, signature)) return fault('it is not signed by this site')
      signed = entry.seq
    }
    entries.push(entry)
    hashes.push(hash)
  }
  if (signatures === 'last' && entries.length > 0) {
    if (!holds(kind, signer, head(), last)) return fault('it is not signed by this site', head().seq)
    signed = head().seq
  }
  return { entries, hashes, signed }
}

function holds<Entry extends ChainLink>(
  { headDomain }: ChainKind<Entry>,
  signer: Pick<ChainSigner, 'verify'>,
  head: ChainHead,
  signature: unknown,
): boolean {
  return signature instanceof Uint8Array && signer.verify(headBytes(headDomain, head), signature)
}
