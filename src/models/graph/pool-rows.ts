/** What an encoder gives for one text, as its vector. Sums are float64 in a fixed order: the same rows, the same bits. */
import type { AnyTensor } from '../../onnx/index.ts'
import { halfTable } from '../dequantize/half.ts'
import type { EncoderText } from './text.ts'

/**
 * @param rows [1, tokens, dimensions], or [1, dimensions] where the model pools itself; more tokens than the text has are
 * padding behind it
 * @param tokens of the text
 * @param dimensions the first so many, made a length of 1 again
 * @returns null when it is of another shape, or holds what is no number
 */
export function pooledVector(
  { dimensions: width, normalize, pooling }: EncoderText,
  rows: AnyTensor,
  tokens: number,
  dimensions?: number,
): Float32Array | null {
  const whole = pooling === 'none' ? [1, width] : [1, rows.dims[1] ?? 0, width]
  if (rows.dims.join() !== whole.join() || (pooling !== 'none' && whole[1]! < tokens)) return null
  const at = reader(rows)
  if (at === null) return null
  const sums = new Float64Array(width)
  const [from, to] = pooling === 'mean' ? [0, tokens] : pooling === 'last' ? [tokens - 1, tokens] : [0, 1]
  for (let row = from; row < to; row++) {
    for (let index = 0; index < width; index++) sums[index]! += at(row * width + index)
  }
  if (to - from > 1) for (let index = 0; index < width; index++) sums[index]! /= to - from
  const kept = sums.subarray(0, dimensions ?? width)
  if (normalize || kept.length < width) unitLength(kept)
  const vector = Float32Array.from(kept)
  return vector.every((value) => Number.isFinite(value)) ? vector : null
}

/** A vector of zeros has no direction, and stays. */
function unitLength(vector: Float64Array): void {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  if (length > 0) for (let index = 0; index < vector.length; index++) vector[index]! /= length
}

function reader({ type, data }: AnyTensor): ((index: number) => number) | null {
  if (type === 'float32' || type === 'float64') return (index) => Number(data[index])
  const halves = halfTable()
  return type === 'float16' ? (index) => halves[Number(data[index])]! : null
}
