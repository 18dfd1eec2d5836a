/** Rows of arrays in the types that models take. */
import type { RowSource } from '../../data/index.ts'
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'

export const elementsOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1)

/** Rows of what is in memory. */
export function tensorRows({ type, dims, data }: Tensor): RowSource {
  const [count = 0, ...rest] = dims
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const stride = count === 0 ? 0 : bytes.length / count
  async function* rows(): AsyncGenerator<Uint8Array> {
    for (let row = 0; row < count; row++) yield bytes.subarray(row * stride, (row + 1) * stride)
  }
  return { type, dims: rest, count, rows }
}

/** The numbers of a row. */
function numbersOf(type: Tensor['type'], bytes: Uint8Array): number[] {
  const Numbers = TENSOR_ARRAYS[type]
  const own = new Numbers(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / Numbers.BYTES_PER_ELEMENT)
  return Array.from(own as Iterable<number | bigint>, Number)
}

/** float64 as float32; what has another type stays. */
export function inFloat32(source: RowSource): RowSource {
  if (source.type !== 'float64') return source
  return converted(source, 'float32', (numbers) => new Uint8Array(Float32Array.from(numbers).buffer))
}

/** @param check looks at the numbers of each row, and throws */
export function inWholes(source: RowSource, check: (row: number, numbers: readonly number[]) => void): RowSource {
  return converted(source, 'int64', (numbers, row) => {
    check(row, numbers)
    return new Uint8Array(BigInt64Array.from(numbers, BigInt).buffer)
  })
}

function converted(
  source: RowSource,
  type: Tensor['type'],
  convert: (numbers: readonly number[], row: number) => Uint8Array,
): RowSource {
  async function* rows(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let row = 0
    for await (const bytes of source.rows(signal)) yield convert(numbersOf(source.type, bytes), row++)
  }
  return { ...source, type, rows }
}
