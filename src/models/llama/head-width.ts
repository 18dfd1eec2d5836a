/**
 * Heads as the attention kernel takes them: a multiple of 16 wide, and rotated in adjacent pairs. Narrower ones get
 * zeros behind their elements, and of models that rotate halves the elements of a pair are put side by side, in the rows
 * of the projections, so that neither scores nor results change.
 */
import { dequantize, sourceBytes } from '../dequantize/index.ts'
import type { DecoderShape } from '../manifest.ts'
import { MAX_ROTARY_ELEMENTS } from '../readers/limits.ts'
import type { SourceMatrix } from './pack.ts'

const KERNEL_MULTIPLE = 16

/** Width of a head in the graph and in the KV cache. */
export function kernelHeadDim(shape: Pick<DecoderShape, 'head_dim'>): number {
  return Math.ceil(shape.head_dim / KERNEL_MULTIPLE) * KERNEL_MULTIPLE
}

/** Positions that the rotary tables of a stage may have, for heads of this width. */
export function mostPositions(shape: Pick<DecoderShape, 'head_dim'>): number {
  return Math.floor(MAX_ROTARY_ELEMENTS / (kernelHeadDim(shape) / 2))
}

/** The rows of q and k, or anything with a row for each of their elements, in the kernel's order and width. */
export function rotatedHeadRows(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
  return padHeadRows(shape.rope_interleaved ? source : pairedRows(source, shape), shape)
}

/**
 * Where a row of q or k is with the pairs that are rotated side by side, when those of its head come with the first halves of the
 * pairs before the second. What is not rotated stays behind them.
 */
export function adjacentRow({ head_dim: head, rope_dim: turned }: DecoderShape, row: number): number {
  const half = turned / 2
  const within = row % head
  const place = within >= turned ? within : within < half ? 2 * within : 2 * (within - half) + 1
  return row - within + place
}

function pairedRows(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
  const rowBytes = sourceBytes(source.type, source.inputs)
  const bytes = new Uint8Array(source.bytes.length)
  for (let row = 0; row < source.outputs; row++) {
    bytes.set(source.bytes.subarray(row * rowBytes, (row + 1) * rowBytes), adjacentRow(shape, row) * rowBytes)
  }
  return { ...source, bytes }
}

/** Rows of zeros behind each head's rows: for q, k and v. */
export function padHeadRows(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
  const { outputs, inputs } = source
  const wide = kernelHeadDim(shape)
  if (wide === shape.head_dim) return source
  const values = widened(source, shape.head_dim * inputs, wide * inputs)
  return float32(values, (outputs / shape.head_dim) * wide, inputs)
}

/** Columns of zeros behind each head's columns: for the projection that takes what attention gives. */
export function padHeadColumns(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
  const { outputs, inputs } = source
  const wide = kernelHeadDim(shape)
  if (wide === shape.head_dim) return source
  return float32(widened(source, shape.head_dim, wide), outputs, (inputs / shape.head_dim) * wide)
}

/** Each `narrow` values of it, and zeros behind them up to `wide`. */
function widened({ type, bytes, outputs, inputs }: SourceMatrix, narrow: number, wide: number): Float32Array {
  const values = dequantize(type, bytes, outputs * inputs)
  const pieces = values.length / narrow
  const result = new Float32Array(pieces * wide)
  for (let piece = 0; piece < pieces; piece++) {
    result.set(values.subarray(piece * narrow, (piece + 1) * narrow), piece * wide)
  }
  return result
}

function float32(values: Float32Array, outputs: number, inputs: number): SourceMatrix {
  return { type: 'F32', bytes: new Uint8Array(values.buffer), outputs, inputs }
}
