/** Bytes from a seed, the same as those that the fixtures' Python made. */
import { SOURCE_TYPES } from '../../../src/models/index.ts'
import type { SourceType } from '../../../src/models/index.ts'

export function randomBytes(seed: number, length: number): Uint8Array {
  const out = new Uint8Array(length)
  let x = seed
  for (let at = 0; at < length; at++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    out[at] = (x >>> 8) & 255
  }
  return out
}

/** Where the f16 fields of a block start. */
const HALF_FIELDS: Readonly<Record<string, readonly number[]>> = {
  F16: [0],
  BF16: [0],
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
}

/** Blocks of random bytes whose scales are finite. */
export function randomBlocks(type: SourceType, seed: number, blocks: number): Uint8Array {
  const size = SOURCE_TYPES[type].bytes
  const out = randomBytes(seed, blocks * size)
  for (let block = 0; block < blocks; block++) {
    for (const field of HALF_FIELDS[type] ?? []) out[block * size + field + 1]! &= 0xbf
  }
  return out
}
