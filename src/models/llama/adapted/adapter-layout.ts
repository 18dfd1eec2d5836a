/**
 * Adapters as files have them (the hub's order of rows, heads as wide as the model says) and as kernels do (pairs that
 * are rotated side by side, heads filled up with zeros; head-width.ts).
 */
import type { DecoderShape } from '../../manifest.ts'
import { adjacentRow, kernelHeadDim } from '../head-width.ts'
import { partSize } from './adapter-parts.ts'
import type { AdaptedPart } from './adapter-parts.ts'

/** Sizes of a factor in a file, [rows, columns]. */
export function filedDims(
  shape: DecoderShape,
  part: AdaptedPart,
  factor: 'a' | 'b',
  rank: number,
): readonly [number, number] {
  const { inputs, outputs } = partSize(shape, part)
  const narrow = (size: number): number => (size / kernelHeadDim(shape)) * shape.head_dim
  if (factor === 'a') return [rank, part === 'o' ? narrow(inputs) : inputs]
  return [part === 'q' || part === 'k' || part === 'v' ? narrow(outputs) : outputs, rank]
}

/** From a kernel's factor to a file's. */
export function toFile(
  shape: DecoderShape,
  part: AdaptedPart,
  factor: 'a' | 'b',
  rank: number,
  values: Float32Array,
): Float32Array {
  const [rows, columns] = filedDims(shape, part, factor, rank)
  const filed = new Float32Array(rows * columns)
  eachPlace(shape, part, factor, rank, (file, kernel) => (filed[file] = values[kernel]!))
  return filed
}

/** From a file's factor to a kernel's. */
export function fromFile(
  shape: DecoderShape,
  part: AdaptedPart,
  factor: 'a' | 'b',
  rank: number,
  filed: Float32Array,
): Float32Array {
  const { inputs, outputs } = partSize(shape, part)
  const values = new Float32Array(rank * (factor === 'a' ? inputs : outputs))
  eachPlace(shape, part, factor, rank, (file, kernel) => (values[kernel] = filed[file]!))
  return values
}

function eachPlace(
  shape: DecoderShape,
  part: AdaptedPart,
  factor: 'a' | 'b',
  rank: number,
  visit: (file: number, kernel: number) => void,
): void {
  const [rows, columns] = filedDims(shape, part, factor, rank)
  const { head_dim: narrow } = shape
  const wide = kernelHeadDim(shape)
  const inHeads = (at: number): number => Math.floor(at / narrow) * wide + (at % narrow)
  const rowOf = (row: number): number => {
    if (factor === 'a' || !['q', 'k', 'v'].includes(part)) return row
    return inHeads(part === 'v' ? row : adjacentRow(shape, row))
  }
  const columnOf = (column: number): number => (factor === 'a' && part === 'o' ? inHeads(column) : column)
  const { inputs } = partSize(shape, part)
  const kernelColumns = factor === 'a' ? inputs : rank
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, rowOf(row) * kernelColumns]
    for (let column = 0; column < columns; column++) visit(from + column, to + columnOf(column))
  }
}
