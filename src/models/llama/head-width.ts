/**
 * The attention kernel takes heads whose width is a multiple of 16. Narrower ones get zeros behind their elements, in
 * the projections' weights, so that neither scores nor results change.
 */
import { dequantize } from '../dequantize/index.ts'
import type { LlamaShape } from '../manifest.ts'
import { MAX_ROTARY_ELEMENTS } from '../readers/limits.ts'
import type { SourceMatrix } from './pack.ts'

const KERNEL_MULTIPLE = 16

/** Width of a head in the graph and in the KV cache. */
export function kernelHeadDim(shape: Pick<LlamaShape, 'head_dim'>): number {
  return Math.ceil(shape.head_dim / KERNEL_MULTIPLE) * KERNEL_MULTIPLE
}

/** Positions that the rotary tables of a stage may have, for heads of this width. */
export function mostPositions(shape: Pick<LlamaShape, 'head_dim'>): number {
  return Math.floor(MAX_ROTARY_ELEMENTS / (kernelHeadDim(shape) / 2))
}

/** Rows of zeros behind each head's rows: for q, k and v. */
export function padHeadRows(source: SourceMatrix, shape: LlamaShape): SourceMatrix {
  const wide = kernelHeadDim(shape)
  if (wide === shape.head_dim) return source
  const heads = source.outputs / shape.head_dim
  const values = dequantize(source.type, source.bytes, source.outputs * source.inputs)
  const padded = new Float32Array(heads * wide * source.inputs)
  const headSize = shape.head_dim * source.inputs
  for (let head = 0; head < heads; head++) {
    padded.set(values.subarray(head * headSize, (head + 1) * headSize), head * wide * source.inputs)
  }
  return float32(padded, heads * wide, source.inputs)
}

/** Columns of zeros behind each head's columns: for the projection that takes what attention gives. */
export function padHeadColumns(source: SourceMatrix, shape: LlamaShape): SourceMatrix {
  const wide = kernelHeadDim(shape)
  if (wide === shape.head_dim) return source
  const heads = source.inputs / shape.head_dim
  const values = dequantize(source.type, source.bytes, source.outputs * source.inputs)
  const padded = new Float32Array(source.outputs * heads * wide)
  for (let piece = 0; piece < source.outputs * heads; piece++) {
    padded.set(values.subarray(piece * shape.head_dim, (piece + 1) * shape.head_dim), piece * wide)
  }
  return float32(padded, source.outputs, heads * wide)
}

function float32(values: Float32Array, outputs: number, inputs: number): SourceMatrix {
  return { type: 'F32', bytes: new Uint8Array(values.buffer), outputs, inputs }
}
