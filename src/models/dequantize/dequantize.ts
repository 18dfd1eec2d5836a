/**
 * Source tensors as float32, with the numbers of ggml's reference `dequantize_row_*`: each product and each sum is
 * rounded to float32 by itself (no fused multiply-add).
 */
import { TensorBytesError } from '../errors.ts'
import type { SourceType } from '../manifest.ts'
import { bfloatsToFloats, halfTable, halvesToFloats } from './half.ts'
import { isFloatType, sourceBytes } from './types.ts'
import type { FloatType } from './types.ts'
import { BLOCK_DECODERS, decodeBlocks } from './unpack.ts'

/**
 * All elements of a tensor, in their order.
 * @throws TensorBytesError when the bytes are not those of so many elements
 */
export function dequantize(type: SourceType, bytes: Uint8Array, elements: number): Float32Array {
  if (isFloatType(type)) return floats(type, bytes, elements)
  if (type === 'Q8_0' && bytes.length === sourceBytes(type, elements)) return bytesTimesScale(bytes, elements)
  const { quants, scales, minima } = decodeBlocks(type, bytes, elements, 0)
  const { group, zero, affine } = BLOCK_DECODERS[type]
  const out = new Float32Array(quants.length)
  for (let index = 0, at = 0; index < scales.length; index++) {
    const scale = scales[index]!
    if (affine) {
      const minimum = minima[index]!
      for (let j = 0; j < group; j++, at++) out[at] = Math.fround(scale * quants[at]!) + minimum
    } else {
      for (let j = 0; j < group; j++, at++) out[at] = scale * (quants[at]! - zero)
    }
  }
  return out
}

/** Blocks of 32 signed bytes behind their scale, without their integers on the way: whole embeddings are looked through so. */
function bytesTimesScale(bytes: Uint8Array, elements: number): Float32Array {
  const halves = halfTable()
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  const out = new Float32Array(elements)
  for (let at = 0, from = 0; at < elements; from += 34) {
    const scale = halves[bytes[from]! | (bytes[from + 1]! << 8)]!
    for (let j = 2; j < 34; j++) out[at++] = scale * signed[from + j]!
  }
  return out
}

function floats(type: FloatType, bytes: Uint8Array, elements: number): Float32Array {
  if (bytes.length !== sourceBytes(type, elements)) {
    throw new TensorBytesError(`${bytes.length} bytes are not ${elements} elements of ${type}`, { type, elements })
  }
  if (type === 'F16') return halvesToFloats(bytes)
  if (type === 'BF16') return bfloatsToFloats(bytes)
  const copy = new Uint8Array(bytes)
  return new Float32Array(copy.buffer)
}
