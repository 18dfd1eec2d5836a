/**
 * K-quants: super-blocks of 256 whose groups of 16 or 32 have quantised scales (layouts: ggml-common.h; order of
 * arithmetic: `dequantize_row_q*_K` of ggml-quants.c). The product of a scale and its super-scale is rounded to float32.
 */
import type { BlockDecoder, DecodedBlocks } from './decoder.ts'
import { halfTable } from './half.ts'

const ELEMENTS = 256

/** Q2_K: 16 bytes (scale low nibble, minimum high), 64 bytes of 2-bit integers, f16 d, f16 dmin. */
function decodeQ2(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants, scales, minima } = out
  for (let block = 0; block < blocks; block++) {
    const at = block * 84
    const d = halves[bytes[at + 80]! | (bytes[at + 81]! << 8)]!
    const dmin = halves[bytes[at + 82]! | (bytes[at + 83]! << 8)]!
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group]!
      scales[block * 16 + group] = d * (packed & 15)
      minima[block * 16 + group] = -Math.fround(dmin * (packed >>> 4))
      const from = at + 16 + (group >>> 3) * 32 + (group & 1) * 16
      const shift = group & 6
      const to = block * ELEMENTS + group * 16
      for (let j = 0; j < 16; j++) quants[to + j] = ((bytes[from + j]! >>> shift) & 3) + rebase
    }
  }
}

/** Q3_K: 32 bytes of high bits, 64 bytes of 2-bit integers, 12 bytes of 6-bit scales, f16 d. */
function decodeQ3(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants, scales } = out
  for (let block = 0; block < blocks; block++) {
    const at = block * 110
    const d = halves[bytes[at + 108]! | (bytes[at + 109]! << 8)]!
    for (let group = 0; group < 16; group++) {
      const low = group < 8 ? bytes[at + 96 + group]! & 15 : bytes[at + 88 + group]! >>> 4
      const high = (bytes[at + 104 + (group & 3)]! >>> (2 * (group >>> 2))) & 3
      scales[block * 16 + group] = d * ((low | (high << 4)) - 32)
      const half = (group & 1) * 16
      const from = at + 32 + (group >>> 3) * 32 + half
      const shift = group & 6
      const bit = group >>> 1
      const to = block * ELEMENTS + group * 16
      for (let j = 0; j < 16; j++) {
        const third = (bytes[at + half + j]! >>> bit) & 1
        quants[to + j] = ((bytes[from + j]! >>> shift) & 3) + (third << 2) + rebase
      }
    }
  }
}

/** The 6-bit scales and minima of Q4_K and Q5_K: eight of each in 12 bytes at `at` (`get_scale_min_k4`). */
function decodeScales(bytes: Uint8Array, at: number, d: number, dmin: number, to: number, out: DecodedBlocks): void {
  for (let group = 0; group < 8; group++) {
    let scale: number
    let minimum: number
    if (group < 4) {
      scale = bytes[at + group]! & 63
      minimum = bytes[at + group + 4]! & 63
    } else {
      const mixed = bytes[at + group + 4]!
      scale = (mixed & 15) | ((bytes[at + group - 4]! >>> 6) << 4)
      minimum = (mixed >>> 4) | ((bytes[at + group]! >>> 6) << 4)
    }
    out.scales[to + group] = d * scale
    out.minima[to + group] = -Math.fround(dmin * minimum)
  }
}

/** Q4_K: f16 d, f16 dmin, scales, 128 bytes: groups 2 i and 2 i + 1 in the low and high nibbles of 32 bytes. */
function decodeQ4(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants } = out
  for (let block = 0; block < blocks; block++) {
    const at = block * 144
    const d = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
    const dmin = halves[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    decodeScales(bytes, at + 4, d, dmin, block * 8, out)
    for (let pair = 0; pair < 4; pair++) {
      const from = at + 16 + pair * 32
      const to = block * ELEMENTS + pair * 64
      for (let j = 0; j < 32; j++) {
        const both = bytes[from + j]!
        quants[to + j] = (both & 15) + rebase
        quants[to + j + 32] = (both >>> 4) + rebase
      }
    }
  }
}

/** Q5_K: as Q4_K, with 32 bytes of fifth bits (group g at bit g) before the nibbles. */
function decodeQ5(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants } = out
  for (let block = 0; block < blocks; block++) {
    const at = block * 176
    const d = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
    const dmin = halves[bytes[at + 2]! | (bytes[at + 3]! << 8)]!
    decodeScales(bytes, at + 4, d, dmin, block * 8, out)
    for (let pair = 0; pair < 4; pair++) {
      const from = at + 48 + pair * 32
      const to = block * ELEMENTS + pair * 64
      for (let j = 0; j < 32; j++) {
        const both = bytes[from + j]!
        const fifths = bytes[at + 16 + j]! >>> (2 * pair)
        quants[to + j] = (both & 15) + ((fifths & 1) << 4) + rebase
        quants[to + j + 32] = (both >>> 4) + ((fifths & 2) << 3) + rebase
      }
    }
  }
}

/** Q6_K: 128 bytes of low nibbles, 64 bytes of 2-bit high parts, 16 signed scales, f16 d. */
function decodeQ6(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants, scales } = out
  for (let block = 0; block < blocks; block++) {
    const at = block * 210
    const d = halves[bytes[at + 208]! | (bytes[at + 209]! << 8)]!
    for (let group = 0; group < 16; group++) scales[block * 16 + group] = d * ((bytes[at + 192 + group]! << 24) >> 24)
    for (let half = 0; half < 2; half++) {
      const low = at + half * 64
      const high = at + 128 + half * 32
      const to = block * ELEMENTS + half * 128
      for (let j = 0; j < 32; j++) {
        const first = bytes[low + j]!
        const second = bytes[low + 32 + j]!
        const top = bytes[high + j]!
        quants[to + j] = ((first & 15) | ((top & 3) << 4)) + rebase
        quants[to + j + 32] = ((second & 15) | ((top & 12) << 2)) + rebase
        quants[to + j + 64] = ((first >>> 4) | (top & 48)) + rebase
        quants[to + j + 96] = ((second >>> 4) | ((top & 192) >>> 2)) + rebase
      }
    }
  }
}

export const K_BLOCKS = {
  Q2_K: { group: 16, bits: 4, zero: 0, affine: true, decode: decodeQ2 },
  Q3_K: { group: 16, bits: 4, zero: 4, affine: false, decode: decodeQ3 },
  Q4_K: { group: 32, bits: 4, zero: 0, affine: true, decode: decodeQ4 },
  Q5_K: { group: 32, bits: 8, zero: 0, affine: true, decode: decodeQ5 },
  Q6_K: { group: 16, bits: 8, zero: 32, affine: false, decode: decodeQ6 },
} as const satisfies Record<string, BlockDecoder>
