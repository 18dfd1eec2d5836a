/**
 * What two peers compare in a large mesh: all that one knows as sums over buckets of it, so that they tell each other of the
 * buckets that differ and not of everything. A bucket's sum is the exclusive or of hashes of its entries, so that a record
 * that changes costs two hashes and not a hash of all.
 */
import { hash } from 'node:crypto'

/** In a mesh of 1,000 a bucket has some ten entries. Part of the protocol: peers that differ here tell each other everything. */
export const SUM_BUCKETS = 256
/** Two sets that differ by chance have the same sum once in 2^64. */
const SUM_BYTES = 8
export const SUMS_BYTES = SUM_BUCKETS * SUM_BYTES

/** By what names a record, so that all its versions are in the same one: FNV-1a over UTF-16 units, the lowest byte. */
export function bucketOf(id: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < id.length; at++) value = Math.imul(value ^ id.charCodeAt(at), 0x01000193)
  return (value ^ (value >>> 16)) & (SUM_BUCKETS - 1)
}

/** What an entry is in the sum of its bucket. */
export interface EntrySum {
  readonly bucket: number
  /** The halves of its 64 bits. */
  readonly low: number
  readonly high: number
}

export function sumOf(id: string, version: number): EntrySum {
  const bytes = hash('sha256', `${id}\n${version}`, 'buffer')
  return { bucket: bucketOf(id), low: bytes.readInt32LE(0), high: bytes.readInt32LE(4) }
}

export class Sums {
  readonly #bytes = new Uint8Array(SUMS_BYTES)
  readonly #view = new DataView(this.#bytes.buffer)

  /** An entry comes, or goes: the same twice is nothing. */
  toggle({ bucket, low, high }: EntrySum): void {
    const at = bucket * SUM_BYTES
    this.#view.setInt32(at, this.#view.getInt32(at, true) ^ low, true)
    this.#view.setInt32(at + 4, this.#view.getInt32(at + 4, true) ^ high, true)
  }

  /** [SUM_BUCKETS * 8] a copy. */
  bytes(): Uint8Array {
    return this.#bytes.slice()
  }
}

/** Buckets whose sums are not the same, rising. Both are SUMS_BYTES long. */
export function differing(one: Uint8Array, other: Uint8Array): number[] {
  const buckets: number[] = []
  if (Buffer.compare(one, other) === 0) return buckets
  for (let at = 0; at < SUMS_BYTES; at++) {
    if (one[at] === other[at]) continue
    const bucket = Math.floor(at / SUM_BYTES)
    buckets.push(bucket)
    at = (bucket + 1) * SUM_BYTES - 1
  }
  return buckets
}
