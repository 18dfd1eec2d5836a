/** Arrays in float64, and the few words that forward passes are written in. */
import type { Node } from '../../../../../src/onnx/index.ts'

/** Whole numbers and flags are held as numbers too. */
export interface Numbers {
  readonly dims: readonly number[]
  readonly data: Float64Array
}

/** Undefined for an input that is left out. */
export type Inputs = readonly (Numbers | undefined)[]

/** The outputs of one node, computed from its definition alone. */
export type Kernel = (inputs: Inputs, node: Node) => readonly Numbers[]

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1)

export function array(dims: readonly number[], data: Iterable<number>): Numbers {
  return { dims, data: Float64Array.from(data) }
}

/** Every index of a shape, the last dimension fastest. */
export function* indices(dims: readonly number[]): Generator<readonly number[]> {
  const count = sizeOf(dims)
  for (let flat = 0; flat < count; flat++) yield unflat(flat, dims)
}

function unflat(flat: number, dims: readonly number[]): readonly number[] {
  const index = Array.from({ length: dims.length }, () => 0)
  let rest = flat
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    index[axis] = rest % dims[axis]!
    rest = Math.floor(rest / dims[axis]!)
  }
  return index
}

export function build(dims: readonly number[], at: (index: readonly number[]) => number): Numbers {
  return array(dims, [...indices(dims)].map(at))
}

/** Undefined outside. */
export function get({ dims, data }: Numbers, index: readonly number[]): number | undefined {
  let flat = 0
  for (const [axis, size] of dims.entries()) {
    const place = index[axis]!
    if (place < 0 || place >= size) return undefined
    flat = flat * size + place
  }
  return data[flat]
}

/** An element by NumPy's rules of stretching: leading dimensions may be missing, sizes of 1 stand for all. */
export function stretchedAt(value: Numbers, index: readonly number[]): number {
  const own = index.slice(index.length - value.dims.length)
  return get(
    value,
    own.map((place, axis) => (value.dims[axis] === 1 ? 0 : place)),
  )!
}

export function stretchedDims(...all: readonly (readonly number[])[]): readonly number[] {
  const rank = Math.max(...all.map(({ length }) => length))
  return Array.from({ length: rank }, (_, axis) => Math.max(...all.map((dims) => dims[axis - rank + dims.length] ?? 1)))
}

export function combine(values: readonly Numbers[], by: (...numbers: readonly number[]) => number): Numbers {
  const dims = stretchedDims(...values.map((value) => value.dims))
  return build(dims, (index) => by(...values.map((value) => stretchedAt(value, index))))
}

export const map = (value: Numbers, by: (number: number) => number): Numbers => ({
  dims: value.dims,
  data: value.data.map(by),
})

export function reshape(value: Numbers, dims: readonly number[]): Numbers {
  const known = sizeOf(dims.filter((size) => size !== -1))
  return { dims: dims.map((size) => (size === -1 ? value.data.length / known : size)), data: value.data }
}

export function transpose(value: Numbers, perm: readonly number[]): Numbers {
  return build(
    perm.map((axis) => value.dims[axis]!),
    (index) => {
      const own = Array.from({ length: perm.length }, () => 0)
      for (const [place, axis] of perm.entries()) own[axis] = index[place]!
      return get(value, own)!
    },
  )
}

/** Along one axis, from `from` up to `to`. */
export function cut(value: Numbers, axis: number, from: number, to: number): Numbers {
  const dims = value.dims.map((size, place) => (place === axis ? to - from : size))
  return build(dims, (index) =>
    get(
      value,
      index.map((at, place) => (place === axis ? at + from : at)),
    )!,
  )
}

export function join(values: readonly Numbers[], axis: number): Numbers {
  const total = values.reduce((sum, { dims }) => sum + dims[axis]!, 0)
  const dims = values[0]!.dims.map((size, place) => (place === axis ? total : size))
  return build(dims, (index) => {
    let at = index[axis]!
    for (const value of values) {
      const size = value.dims[axis]!
      if (at < size)
        return get(
          value,
          index.map((place, own) => (own === axis ? at : place)),
        )!
      at -= size
    }
    return NaN
  })
}

/** Two matrices, or stacks of them of equal or stretched sizes. */
export function matmul(a: Numbers, b: Numbers): Numbers {
  const [m, k, n] = [a.dims.at(-2)!, a.dims.at(-1)!, b.dims.at(-1)!]
  const batch = stretchedDims(a.dims.slice(0, -2), b.dims.slice(0, -2))
  const of = (value: Numbers, lead: readonly number[], row: number, column: number): number => {
    const own = lead.slice(lead.length - value.dims.length + 2)
    return get(value, [...own.map((place, axis) => (value.dims[axis] === 1 ? 0 : place)), row, column])!
  }
  return build([...batch, m, n], (index) => {
    const [lead, row, column] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!]
    let sum = 0
    for (let at = 0; at < k; at++) sum += of(a, lead, row, at) * of(b, lead, at, column)
    return sum
  })
}

export function int({ attributes }: Node, name: string, otherwise: number): number {
  const attribute = attributes.get(name)
  return attribute?.kind === 'int' ? Number(attribute.value) : otherwise
}

export function ints({ attributes }: Node, name: string): readonly number[] | undefined {
  const attribute = attributes.get(name)
  return attribute?.kind === 'ints' ? attribute.values.map(Number) : undefined
}

/** An attribute is a float32: the engine rounds it, and so is it here. */
export function float({ attributes }: Node, name: string, otherwise: number): number {
  const attribute = attributes.get(name)
  return Math.fround(attribute?.kind === 'float' ? attribute.value : otherwise)
}

export function text({ attributes }: Node, name: string, otherwise: string): string {
  const attribute = attributes.get(name)
  return attribute?.kind === 'string' ? Buffer.from(attribute.value).toString() : otherwise
}
