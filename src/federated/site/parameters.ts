/** Parameters of a model as one vector, and which of its coordinates all sites share. */
import type { Tensors } from '../../training/index.ts'

export interface ParameterShape {
  readonly name: string
  readonly dims: readonly number[]
}

export function sizeOf({ dims }: ParameterShape): number {
  return dims.reduce((product, size) => product * size, 1)
}

export function flatOf(shapes: readonly ParameterShape[], tensors: Tensors): Float32Array {
  return filled(new Float32Array(lengthOf(shapes)), shapes, tensors)
}

/** The same, of numbers that are added up further. */
export function wideFlatOf(shapes: readonly ParameterShape[], tensors: Tensors): Float64Array {
  return filled(new Float64Array(lengthOf(shapes)), shapes, tensors)
}

function lengthOf(shapes: readonly ParameterShape[]): number {
  return shapes.reduce((sum, shape) => sum + sizeOf(shape), 0)
}

function filled<Flat extends Float32Array | Float64Array>(
  flat: Flat,
  shapes: readonly ParameterShape[],
  tensors: Tensors,
): Flat {
  let at = 0
  for (const shape of shapes) {
    flat.set(tensors[shape.name]!.data as Float32Array, at)
    at += sizeOf(shape)
  }
  return flat
}

export function tensorsOf(shapes: readonly ParameterShape[], flat: Float32Array): Tensors {
  let at = 0
  const entries = shapes.map((shape) => {
    const data = flat.slice(at, (at += sizeOf(shape)))
    return [shape.name, { type: 'float32' as const, dims: shape.dims, data }] as const
  })
  return Object.fromEntries(entries)
}

/** Parameters that all sites share: all but those that stay (whose name has one of `personal` in it). */
export function sharedShapes(
  shapes: readonly ParameterShape[],
  personal: readonly string[] = [],
): readonly ParameterShape[] {
  return shapes.filter(({ name }) => !personal.some((part) => name.includes(part)))
}

/** Coordinates of these. */
export function sharedPlaces(shapes: readonly ParameterShape[], personal: readonly string[] = []): Uint32Array {
  const shared = new Set(sharedShapes(shapes, personal))
  const places = new Uint32Array([...shared].reduce((sum, shape) => sum + sizeOf(shape), 0))
  let [at, count] = [0, 0]
  for (const shape of shapes) {
    const end = at + sizeOf(shape)
    if (!shared.has(shape)) at = end
    else while (at < end) places[count++] = at++
  }
  return places
}

export function picked(flat: Float32Array, places: Uint32Array): Float32Array {
  if (places.length === flat.length) return flat.slice()
  const own = new Float32Array(places.length)
  for (let index = 0; index < own.length; index++) own[index] = flat[places[index]!]!
  return own
}

/** `own` with the shared coordinates of `global`. */
export function placed(own: Float32Array, global: Float32Array, places: Uint32Array): Float32Array {
  if (places.length === own.length) return global.slice()
  const all = own.slice()
  for (let index = 0; index < places.length; index++) all[places[index]!] = global[index]!
  return all
}
