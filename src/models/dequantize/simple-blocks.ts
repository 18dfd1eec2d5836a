/** Blocks of 32 with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 (layouts: ggml-common.h, `dequantize_row_*`). */
import type { BlockDecoder, DecodedBlocks } from './decoder.ts'
import { halfTable } from './half.ts'

/** f16 scale [, f16 minimum], 16 bytes: element j in the low nibble of byte j, element j + 16 in the high one. */
function decodeQ4(affine: boolean) {
  return (bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void => {
    const halves = halfTable()
    const { quants, scales, minima } = out
    let at = 0
    for (let block = 0; block < blocks; block++) {
      scales[block] = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
      at += 2
      if (affine) {
        minima[block] = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
        at += 2
      }
      const to = block * 32
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + j]!
        quants[to + j] = (pair & 15) + rebase
        quants[to + j + 16] = (pair >>> 4) + rebase
      }
      at += 16
    }
  }
}

/** As Q4, with a 32-bit mask of fifth bits, element j at bit j, before the nibbles. */
function decodeQ5(affine: boolean) {
  return (bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void => {
    const halves = halfTable()
    const { quants, scales, minima } = out
    let at = 0
    for (let block = 0; block < blocks; block++) {
      scales[block] = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
      at += 2
      if (affine) {
        minima[block] = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
        at += 2
      }
      const fifth = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      at += 4
      const to = block * 32
      for (let j = 0; j < 16; j++) {
        const pair = bytes[at + j]!
        quants[to + j] = (pair & 15) + (((fifth >>> j) & 1) << 4) + rebase
        quants[to + j + 16] = (pair >>> 4) + (((fifth >>> (j + 16)) & 1) << 4) + rebase
      }
      at += 16
    }
  }
}

/** f16 scale, 32 signed bytes; the bias of 128 makes them unsigned. */
function decodeQ8(bytes: Uint8Array, blocks: number, rebase: number, out: DecodedBlocks): void {
  const halves = halfTable()
  const { quants, scales } = out
  let at = 0
  for (let block = 0; block < blocks; block++) {
    scales[block] = halves[bytes[at]! | (bytes[at + 1]! << 8)]!
    at += 2
    const to = block * 32
    for (let j = 0; j < 32; j++) quants[to + j] = (bytes[at + j]! ^ 128) + rebase
    at += 32
  }
}

export const SIMPLE_BLOCKS = {
  Q4_0: { group: 32, bits: 4, zero: 8, affine: false, decode: decodeQ4(false) },
  Q4_1: { group: 32, bits: 4, zero: 0, affine: true, decode: decodeQ4(true) },
  Q5_0: { group: 32, bits: 8, zero: 16, affine: false, decode: decodeQ5(false) },
  Q5_1: { group: 32, bits: 8, zero: 0, affine: true, decode: decodeQ5(true) },
  Q8_0: { group: 32, bits: 8, zero: 128, affine: false, decode: decodeQ8 },
} as const satisfies Record<string, BlockDecoder>
