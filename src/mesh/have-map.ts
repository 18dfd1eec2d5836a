/**
 * Which chunks of which blobs a peer has. An answer is one part a blob, in the order asked: a byte that says none (0),
 * some (1) or all (2); after a 1 a bit a chunk, lowest bit first, in whole bytes.
 */
import { chunkCount } from '../store/index.ts'
import { MAX_HAVE_BLOBS, MAX_HAVE_BYTES } from './limits.ts'
import type { BlobRequest } from './types.ts'

export type HaveBlobs = readonly (readonly [address: string, bytes: number])[]

export type HaveMap =
  | { readonly kind: 'none' }
  /** A transfer is under way; it may have more by now. */
  | { readonly kind: 'some'; readonly bits: Uint8Array }
  | { readonly kind: 'all' }

const NONE: HaveMap = { kind: 'none' }
const ALL: HaveMap = { kind: 'all' }
const KINDS = ['none', 'some', 'all'] as const

export function mapBytes(bytes: number): number {
  return Math.ceil(chunkCount(bytes) / 8)
}

/** What an answer has at most. */
export function answerBytes(blobs: HaveBlobs): number {
  return blobs.reduce((sum, [, bytes]) => sum + 1 + mapBytes(bytes), 0)
}

export function hasChunk(map: HaveMap, index: number): boolean {
  return map.kind === 'all' || (map.kind === 'some' && ((map.bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0)
}

export function someChunks(bytes: number, has: (index: number) => boolean): HaveMap {
  const bits = new Uint8Array(mapBytes(bytes))
  for (let index = 0; index < chunkCount(bytes); index++) if (has(index)) bits[index >> 3]! |= 1 << (index & 7)
  return { kind: 'some', bits }
}

export function encodeHaveMaps(maps: readonly HaveMap[]): Uint8Array {
  const parts = maps.flatMap((map) => {
    const kind = Uint8Array.of(KINDS.indexOf(map.kind))
    return map.kind === 'some' ? [kind, map.bits] : [kind]
  })
  return new Uint8Array(Buffer.concat(parts))
}

/** Undefined when it is no answer to this question; bits beyond the last chunk are as wrong as a missing one. */
export function decodeHaveMaps(blobs: HaveBlobs, answer: Uint8Array): HaveMap[] | undefined {
  const maps: HaveMap[] = []
  let at = 0
  for (const [, bytes] of blobs) {
    const kind = KINDS[answer[at++] ?? KINDS.length]
    if (kind === undefined) return undefined
    if (kind !== 'some') {
      maps.push(kind === 'all' ? ALL : NONE)
      continue
    }
    const bits = answer.slice(at, at + mapBytes(bytes))
    at += mapBytes(bytes)
    const spare = chunkCount(bytes) % 8
    if (bits.length !== mapBytes(bytes) || (spare > 0 && bits.at(-1)! >> spare !== 0)) return undefined
    maps.push({ kind: 'some', bits })
  }
  return at === answer.length ? maps : undefined
}

/** Questions that keep to the limits of one answer. */
export function* haveBatches(blobs: readonly BlobRequest[]): Generator<(readonly [string, number])[]> {
  let batch: (readonly [string, number])[] = []
  for (const { address, bytes } of blobs) {
    const next = [...batch, [address, bytes] as const]
    if (next.length <= MAX_HAVE_BLOBS && answerBytes(next) <= MAX_HAVE_BYTES) {
      batch = next
      continue
    }
    if (batch.length > 0) yield batch
    batch = [[address, bytes]]
  }
  if (batch.length > 0) yield batch
}
