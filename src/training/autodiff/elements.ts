/** Bytes of small constants. */
import type { DataType } from '../../onnx/index.ts'

const WRITERS: Partial<
  Record<DataType, readonly [bytes: number, (view: DataView, at: number, value: number) => void]>
> = {
  float32: [4, (view, at, value) => view.setFloat32(at, value, true)],
  float64: [8, (view, at, value) => view.setFloat64(at, value, true)],
  float16: [2, (view, at, value) => view.setFloat16(at, value, true)],
  bfloat16: [2, (view, at, value) => view.setUint16(at, bfloat16Of(value), true)],
  int64: [8, (view, at, value) => view.setBigInt64(at, BigInt(value), true)],
  int32: [4, (view, at, value) => view.setInt32(at, value, true)],
  int8: [1, (view, at, value) => view.setInt8(at, value)],
  uint8: [1, (view, at, value) => view.setUint8(at, value)],
  bool: [1, (view, at, value) => view.setUint8(at, value === 0 ? 0 : 1)],
}

/** Truncated: constants of the rules are short. */
function bfloat16Of(value: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, value)
  return view.getUint16(0)
}

/** Little-endian. */
export function bytesOfNumbers(type: DataType, values: readonly number[]): Uint8Array {
  const writer = WRITERS[type]
  if (writer === undefined) throw new TypeError(`no constants of ${type}`)
  const [width, write] = writer
  const bytes = new Uint8Array(values.length * width)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of values.entries()) write(view, index * width, value)
  return bytes
}

/** Of the types that gradients and their constants have. */
export const ELEMENT_BYTES: Partial<Record<DataType, number>> = Object.fromEntries(
  Object.entries(WRITERS).map(([type, [width]]) => [type, width]),
)
