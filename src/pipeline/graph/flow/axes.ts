/** Cutting tensors along an axis, and joining them again. */
import { TENSOR_ARRAYS } from '../../../onnx/index.ts'
import type { AnyTensor, Tensor } from '../../../onnx/index.ts'
import { GraphOutputError } from '../errors.ts'

type Values = Tensor['data'] | readonly string[]

/** Elements [from, to) along `axis`. Along the first axis nothing is copied. */
export function sliceTensor(tensor: AnyTensor, axis: number, from: number, to: number): AnyTensor {
  const { type, dims } = tensor
  const [outer, size, inner] = strides(dims, axis)
  const cut = dims.with(axis, to - from)
  if (outer === 1) return with_(type, cut, part(tensor.data, from * inner, to * inner))
  const pieces = Array.from({ length: outer }, (_, row) =>
    part(tensor.data, (row * size + from) * inner, (row * size + to) * inner),
  )
  return with_(type, cut, concatenated(type, pieces))
}

/** The part of this index on the first axis, without that axis. */
export function frameOf(tensor: AnyTensor, index: number): AnyTensor {
  const { type, dims, data } = sliceTensor(tensor, 0, index, index + 1)
  return with_(type, dims.slice(1), data)
}

/** Side by side along `axis`. @throws GraphOutputError when other sizes differ */
export function joinTensors(name: string, tensors: readonly AnyTensor[], axis: number): AnyTensor {
  const [first] = tensors as readonly [AnyTensor]
  if (tensors.length === 1) return first
  for (const { dims, type } of tensors) {
    const fits = type === first.type && dims.length === first.dims.length && dims.length > axis
    if (!fits || dims.some((dim, at) => at !== axis && dim !== first.dims[at])) {
      throw new GraphOutputError(name, first.dims, dims)
    }
  }
  const dims = first.dims.with(
    axis,
    tensors.reduce((sum, each) => sum + each.dims[axis]!, 0),
  )
  const [outer] = strides(first.dims, axis)
  const lying = outer === 1 ? sideBySide(tensors) : null
  if (lying !== null) return with_(first.type, dims, lying)
  const pieces: Values[] = []
  for (let row = 0; row < outer; row++) {
    for (const each of tensors) {
      const [, size, inner] = strides(each.dims, axis)
      pieces.push(part(each.data, row * size * inner, (row + 1) * size * inner))
    }
  }
  return with_(first.type, dims, concatenated(first.type, pieces))
}

/** The values of all, where they lie one behind the other already. */
function sideBySide(tensors: readonly AnyTensor[]): Values | null {
  const [first] = tensors as readonly [AnyTensor]
  if (first.type === 'string') return null
  let end = first.data.byteOffset
  for (const { type, data } of tensors) {
    if (type === 'string' || data.buffer !== first.data.buffer || data.byteOffset !== end) return null
    end += data.byteLength
  }
  const { buffer, byteOffset, BYTES_PER_ELEMENT } = first.data
  return new TENSOR_ARRAYS[first.type](buffer as ArrayBuffer, byteOffset, (end - byteOffset) / BYTES_PER_ELEMENT)
}

/** One behind the other along a new first axis. @throws GraphOutputError when shapes differ */
export function stackTensors(name: string, tensors: readonly AnyTensor[]): AnyTensor {
  const widened = tensors.map(({ type, dims, data }) => with_(type, [1, ...dims], data))
  return joinTensors(name, widened, 0)
}

function strides(dims: readonly number[], axis: number): readonly [outer: number, size: number, inner: number] {
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1)
  return [product(dims.slice(0, axis)), dims[axis]!, product(dims.slice(axis + 1))]
}

function part(data: Values, from: number, to: number): Values {
  return Array.isArray(data) ? data.slice(from, to) : (data as Tensor['data']).subarray(from, to)
}

function concatenated(type: AnyTensor['type'], pieces: readonly Values[]): Values {
  if (type === 'string') return (pieces as readonly (readonly string[])[]).flat()
  const whole = new TENSOR_ARRAYS[type](pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece as unknown as ArrayLike<never>, at)
    at += piece.length
  }
  return whole
}

function with_(type: AnyTensor['type'], dims: readonly number[], data: Values): AnyTensor {
  return { type, dims, data } as AnyTensor
}
