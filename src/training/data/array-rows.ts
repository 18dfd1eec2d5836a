/** Rows of arrays in the types that models take. */
import type { RowSource } from '../../data/index.ts'
import { halvesToFloats } from '../../models/index.ts'
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'

export const elementsOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1)

/** A number a row. */
export function numberRows(count: number, numberOf: (row: number) => number): RowSource {
  async function* rows(): AsyncGenerator<Uint8Array> {
    for (let row = 0; row < count; row++) yield new Uint8Array(Float64Array.of(numberOf(row)).buffer)
  }
  return { type: 'float64', dims: [], count, rows }
}

/** The numbers of a row. */
function numbersOf(type: Tensor['type'], bytes: Uint8Array): number[] {
  if (type === 'float16') return Array.from(halvesToFloats(bytes))
  const Numbers = TENSOR_ARRAYS[type]
  const own = new Numbers(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / Numbers.BYTES_PER_ELEMENT)
  return Array.from(own as Iterable<number | bigint>, Number)
}

/** Looks at the numbers of each row, and throws. */
type Check = (row: number, numbers: readonly number[]) => void

/** float16 and float64 as float32; what has another type stays. */
export function inFloat32(source: RowSource): RowSource {
  return source.type === 'float64' || source.type === 'float16' ? asFloats(source, () => {}) : source
}

export function asFloats(source: RowSource, check: Check): RowSource {
  return converted(source, 'float32', check, (numbers) => Float32Array.from(numbers))
}

export function asWholes(source: RowSource, check: Check): RowSource {
  return converted(source, 'int64', check, (numbers) => BigInt64Array.from(numbers, BigInt))
}

function converted(
  source: RowSource,
  type: Tensor['type'],
  check: Check,
  convert: (numbers: readonly number[]) => Float32Array | BigInt64Array,
): RowSource {
  async function* rows(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let row = 0
    for await (const bytes of source.rows(signal)) {
      const numbers = numbersOf(source.type, bytes)
      check(row++, numbers)
      yield new Uint8Array(convert(numbers).buffer)
    }
  }
  return { ...source, type, rows }
}
