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

/** The element i of the first half and its partner, i + rope_dim / 2, become neighbours; the others stay behind them. */
function pairedRows(source: SourceMatrix, { head_dim, rope_dim }: DecoderShape): SourceMatrix {
  const rowBytes = sourceBytes(source.type, source.inputs)
  const bytes = new Uint8Array(source.bytes.length)
  for (let row = 0; row < source.outputs; row++) {
    const within = row % head_dim
    const from = within < rope_dim ? (within >> 1) + (within & 1) * (rope_dim / 2) : within
    const at = (row - within + from) * rowBytes
    bytes.set(source.bytes.subarray(at, at + rowBytes), row * rowBytes)
  }
  return { ...source, bytes }
}

/** Rows of zeros behind each head's rows: for q, k and v. */
export function padHeadRows(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
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
export function padHeadColumns(source: SourceMatrix, shape: DecoderShape): SourceMatrix {
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
