/** Ids of a long text in a control map: one value of bytes, not one each, of which a map has 32,768 at most. */
import * as z from 'zod'
import type { SamplerInit } from './sampler.ts'

/** int32, little-endian; ids one by one in what older peers send. */
export type TokenIds = Uint8Array | readonly number[]

/** As many as a control map has bytes for (net/frame.ts). */
const MOST_IDS = 1 << 16

export const tokenIdsSchema = z.union([
  z.instanceof(Uint8Array).refine((bytes) => bytes.length % 4 === 0 && bytes.length <= 4 * MOST_IDS),
  z.array(z.number().int().min(0)).max(1 << 15),
])

export function packIds(ids: TokenIds): Uint8Array<ArrayBuffer> {
  if (ids instanceof Uint8Array) return Uint8Array.from(ids)
  const bytes = Buffer.alloc(4 * ids.length)
  for (const [index, id] of ids.entries()) bytes.writeInt32LE(id, index * 4)
  return bytes
}

/** Of a sampler, as control maps carry it. */
export function packForced({ forced }: Pick<SamplerInit, 'forced'>): {
  readonly forced?: { readonly from: number; readonly ids: Uint8Array<ArrayBuffer> }
} {
  return forced === undefined ? {} : { forced: { from: forced.from, ids: packIds(forced.ids) } }
}

export function unpackIds(ids: TokenIds): readonly number[] {
  if (!(ids instanceof Uint8Array)) return ids
  const bytes = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
  return Array.from({ length: ids.length / 4 }, (_, index) => bytes.readInt32LE(index * 4))
}
