/** Rows over whole tensors in memory. */
import type { Tensor } from '../../onnx/index.ts'
import { asBytes, bytesOf, emptyTensor } from './rows.ts'
import type { Batch, RowField, Rows } from './rows.ts'

/** @param tensors by name, all with as many rows on their first axis */
export function arrayRows(tensors: Batch): Rows {
  const entries = Object.entries(tensors)
  const fields = entries.map(([name, { type, dims }]): RowField => ({ name, type, dims: dims.slice(1) }))
  return {
    count: entries[0]?.[1].dims[0] ?? 0,
    fields,
    size: { bytes: entries.reduce((sum, [, tensor]) => sum + tensor.data.byteLength, 0), spilled: 0 },
    take: async (rows) =>
      Object.fromEntries(fields.map((field) => [field.name, picked(tensors[field.name]!, field, rows)])),
    close: async () => {},
  }
}

function picked(from: Tensor, field: RowField, rows: Uint32Array): Tensor {
  const tensor = emptyTensor(field, rows.length)
  const [source, target, size] = [asBytes(from), asBytes(tensor), bytesOf(field)]
  for (const [at, row] of rows.entries()) target.set(source.subarray(row * size, (row + 1) * size), at * size)
  return tensor
}
