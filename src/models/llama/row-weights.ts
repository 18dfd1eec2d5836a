/**
 * Matrices for the row-int8 kernel (DESIGN decision 3): 8 bits a weight and one scale an output, met by activations of
 * 8 bits and one scale a row. Both sides are rotated first: each piece of 16 to 64 inputs goes through a Hadamard
 * matrix H, x H (W H)^T = size x W^T, which spreads the few large channels that one scale a row would pay for
 * (QuaRot, arXiv 2404.00456). It needs no calibration: a matrix is packed from its own weights alone.
 *
 * Weights are unsigned with 128 for zero, like the activations: without VNNI, u8 x s8 saturates in pairs for weights
 * beyond [-64, 63], u8 x u8 nowhere (measured on AVX2: exact at all extremes and 10 to 20 % slower than u8 x s8).
 */
import type { StoredTensor, WeightSink } from '../../onnx/index.ts'
import { dequantize, sourceBytes } from '../dequantize/index.ts'
import { load } from './pack.ts'
import type { MatrixSource } from './pack.ts'

/** A matrix [outputs, inputs], rotated. */
export interface PackedRows {
  readonly kind: 'rows'
  readonly outputs: number
  readonly inputs: number
  /** Inputs that are rotated together. */
  readonly rotation: number
  /** [inputs, outputs], unsigned, 128 is zero. */
  readonly quants: StoredTensor
  /** [outputs], float32; what the rotation multiplies by is taken back here. */
  readonly scales: StoredTensor
}

/** The largest piece that is rotated together: 128 costs twice the time and gains nothing that could be measured. */
const ROTATION = 64
/** 131,072 products of up to 127 x 127 still fit the kernel's 32 bits. */
const MAX_INPUTS = 131_072
const ZERO = 128
const LARGEST = 127
/** Scales below this are taken for zero: of the subnormal ones the inverse is too coarse. */
const SMALLEST = 1e-35
/** Outputs that are quantised before they are written across: what a cache holds. */
const TILE = 32

/** Inputs rotated together, or null where the kernel does not take the width. */
export function rotationOf(inputs: number): number | null {
  if (inputs > MAX_INPUTS) return null
  return [ROTATION, ROTATION / 2].find((size) => inputs % size === 0) ?? null
}

/** Matrices of the same inputs side by side. */
export async function packRows(
  file: WeightSink,
  sources: readonly MatrixSource[],
  rotation: number,
): Promise<PackedRows> {
  const inputs = sources[0]!.inputs
  const outputs = sources.reduce((sum, source) => sum + source.outputs, 0)
  const quants = new Uint8Array(inputs * outputs)
  const scales = new Float32Array(outputs)
  let at = 0
  for (const each of sources) {
    const source = await load(each)
    const rowBytes = sourceBytes(source.type, inputs)
    for (let row = 0; row < source.outputs; row += TILE) {
      const count = Math.min(TILE, source.outputs - row)
      const bytes = source.bytes.subarray(row * rowBytes, (row + count) * rowBytes)
      const values = dequantize(source.type, bytes, count * inputs)
      rotate(values, rotation)
      const tile = quantizeRows(values, count, inputs, scales.subarray(at, at + count))
      for (let input = 0; input < inputs; input++) {
        for (let r = 0; r < count; r++) quants[input * outputs + at + r] = tile[r * inputs + input]!
      }
      at += count
    }
  }
  for (let output = 0; output < outputs; output++) scales[output] = scales[output]! / rotation
  return {
    kind: 'rows',
    outputs,
    inputs,
    rotation,
    quants: await file.append('u8', [inputs, outputs], quants),
    scales: await file.append('f32', [outputs], scales),
  }
}

/** Each piece of `size` values times the Hadamard matrix of that size, in place. */
export function rotate(values: Float32Array, size: number): void {
  for (let half = 1; half < size; half *= 2) {
    for (let from = 0; from < values.length; from += 2 * half) {
      for (let at = from; at < from + half; at++) {
        const a = values[at]!
        const b = values[at + half]!
        values[at] = a + b
        values[at + half] = a - b
      }
    }
  }
}

/** Sylvester's Hadamard matrix of a power of two, row-major: what `rotate` multiplies by. */
export function hadamard(size: number): Float32Array {
  const matrix = new Float32Array(size * size)
  for (let row = 0; row < size; row++) matrix[row * size + row] = 1
  rotate(matrix, size)
  return matrix
}

function quantizeRows(values: Float32Array, rows: number, columns: number, scales: Float32Array): Uint8Array {
  const quants = new Uint8Array(rows * columns)
  for (let row = 0; row < rows; row++) {
    const from = row * columns
    const scale = Math.fround(magnitude(values, from, from + columns) / LARGEST)
    scales[row] = scale
    // A row of zeros has scale 0, and its integers are zero.
    const inverse = scale < SMALLEST ? 0 : 1 / scale
    // Within -127.01 and 127.01: the nearest integer, without a clip.
    for (let at = from; at < from + columns; at++) quants[at] = (values[at]! * inverse + (ZERO + 0.5)) | 0
  }
  return quants
}

/** Of the largest element; NaN where there is one, so that it is not lost. */
function magnitude(values: Float32Array, from: number, to: number): number {
  let largest = 0
  for (let at = from; at < to; at++) {
    const size = Math.abs(values[at]!)
    if (size <= largest) continue
    if (Number.isNaN(size)) return NaN
    largest = size
  }
  return largest
}
