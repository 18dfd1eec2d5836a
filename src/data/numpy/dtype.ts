/** NumPy's names of element types (`<f4`, `>i8`, `|b1`, `<U12`, `|S5`), and what tensors call them. */
import { TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { ArrayOfObjectsError, ArrayTypeError } from '../errors.ts'

export type NumberType = Tensor['type']

export type ElementType =
  | { readonly kind: 'number'; readonly type: NumberType; readonly size: number; readonly swapped: boolean }
  /** `size` bytes an element: UTF-32 of fixed width, or bytes of fixed width; zeros at the end are padding. */
  | { readonly kind: 'text' | 'bytes'; readonly size: number; readonly swapped: boolean }

const NUMBERS: ReadonlyMap<string, NumberType> = new Map<string, NumberType>([
  ['f2', 'float16'],
  ['f4', 'float32'],
  ['f8', 'float64'],
  ['i1', 'int8'],
  ['i2', 'int16'],
  ['i4', 'int32'],
  ['i8', 'int64'],
  ['u1', 'uint8'],
  ['u2', 'uint16'],
  ['u4', 'uint32'],
  ['u8', 'uint64'],
  ['b1', 'bool'],
])

const NAMES: ReadonlyMap<NumberType, string> = new Map([...NUMBERS].map(([name, type]) => [type, name]))

/** Characters or bytes of one text: more than this for every element is a mistake or an attack. */
const MAX_TEXT_WIDTH = 2 ** 24

/** @param where the array, as it may be printed. @throws ArrayTypeError, ArrayOfObjectsError */
export function readDtype(descr: unknown, where: string): ElementType {
  if (typeof descr !== 'string') throw new ArrayTypeError(where, 'record')
  const found = /^([<>=|])?([a-zA-Z?])(\d{0,10})$/.exec(descr)
  if (found === null) throw new ArrayTypeError(where, descr)
  const [, order = '|', letter, width] = found
  if (letter === 'O') throw new ArrayOfObjectsError(where)
  const swapped = order === '>'
  if (letter === 'U' || letter === 'S' || letter === 'a') {
    if (width === '' || Number(width) > MAX_TEXT_WIDTH) throw new ArrayTypeError(where, descr)
    const isText = letter === 'U'
    return { kind: isText ? 'text' : 'bytes', size: Number(width) * (isText ? 4 : 1), swapped }
  }
  const type = NUMBERS.get(letter === '?' ? 'b1' : `${letter}${width}`)
  if (type === undefined) throw new ArrayTypeError(where, descr)
  const size = TENSOR_ARRAYS[type].BYTES_PER_ELEMENT
  return { kind: 'number', type, size, swapped: swapped && size > 1 }
}

export function dtypeOf(type: NumberType): string {
  return `${TENSOR_ARRAYS[type].BYTES_PER_ELEMENT === 1 ? '|' : '<'}${NAMES.get(type)!}`
}
