/** Examples with the same fields each, of which any may be taken in any order. */
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'

/** One field of every row: a tensor of this type and shape. */
export interface RowField {
  readonly name: string
  readonly type: Tensor['type']
  /** Without the axis of rows. */
  readonly dims: readonly number[]
}

export type Batch = Readonly<Record<string, Tensor>>

export interface RowsSize {
  readonly bytes: number
  readonly spilled: number
}

export interface Rows {
  readonly count: number
  readonly fields: readonly RowField[]
  /** Bytes of rows, and how many of them lie in a file because memory did not hold them: all, or none. */
  readonly size: RowsSize
  /**
   * The rows in the order that is asked for, each field with the axis of rows in front.
   * @throws DataChangedError when a file under it was changed
   */
  take(rows: Uint32Array, signal?: AbortSignal): Promise<Batch>
  /** Frees what it holds: memory, and the file beside it. */
  close(): Promise<void>
}

export function elementsOf(field: RowField): number {
  return field.dims.reduce((product, size) => product * size, 1)
}

export function bytesOf(field: RowField): number {
  return elementsOf(field) * TENSOR_ARRAYS[field.type].BYTES_PER_ELEMENT
}

export function rowBytes(fields: readonly RowField[]): number {
  return fields.reduce((sum, field) => sum + bytesOf(field), 0)
}

/** A tensor for so many rows of a field, all zeros. */
export function emptyTensor({ type, dims }: RowField, count: number): Tensor {
  const size = dims.reduce((product, dim) => product * dim, count)
  return { type, dims: [count, ...dims], data: new TENSOR_ARRAYS[type](size) }
}

export function asBytes({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
