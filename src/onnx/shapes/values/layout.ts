/** Known elements that are picked, joined and laid out anew. */
import type { Dimension } from '../../ir/index.ts'
import { axisWithin } from '../call.ts'
import { MAX_KNOWN, smallCount } from '../constants.ts'
import { cutRange, cutsOf, splitSizes } from '../rules/slicing.ts'
import type { KnownTensor } from '../types.ts'
import { stretch } from './arithmetic.ts'
import type { ValueRule } from './index.ts'

/** The same elements in the output's shape. */
const sameElements: ValueRule = (call, dims) => {
  const known = call.known(0)
  return [known && { dims, elements: known.elements }]
}

const expand: ValueRule = (call, dims) => {
  const known = call.known(0)
  const elements = known && stretch(known, dims)
  return [elements && { dims, elements }]
}

const gather: ValueRule = (call, dims) => {
  const [known, indices] = [call.known(0), call.numbers(1)]
  const axis = known === undefined ? undefined : axisWithin(call.int('axis', 0), known.dims.length)
  if (known === undefined || indices === undefined || axis === undefined) return []
  const places = indices.map((index) => axisWithin(index, known.dims[axis]!))
  return places.every((place) => place !== undefined) ? [{ dims, elements: picked(known, axis, places) }] : []
}

/** Elements at these places along an axis. */
function picked({ dims, elements }: KnownTensor, axis: number, places: readonly number[]): readonly Dimension[] {
  const size = dims[axis]!
  const inner = product(dims.slice(axis + 1))
  const found: Dimension[] = []
  for (let row = 0; row < elements.length; row += Math.max(size * inner, 1)) {
    for (const place of places) {
      for (let at = 0; at < inner; at++) found.push(elements[row + place * inner + at]!)
      if (found.length > MAX_KNOWN) return []
    }
  }
  return found
}

const concat: ValueRule = (call, dims) => {
  const parts = call.node.inputs.map((_, input) => call.known(input))
  const axis = axisWithin(call.int('axis', 1), dims.length)
  const count = smallCount(dims)
  if (axis === undefined || count === undefined) return []
  // A part that is not known leaves its places open: the others are still worth having.
  const sizes = parts.map((part, input) => (part === undefined ? call.dimension(input, axis) : part.dims[axis]!))
  const inner = product(dims.slice(axis + 1))
  const outer = product(dims.slice(0, axis))
  const elements: Dimension[] = []
  for (let row = 0; row < outer; row++) {
    for (const [input, part] of parts.entries()) {
      const size = sizes[input]
      if (typeof size !== 'number') return []
      const run = size * inner
      for (let at = 0; at < run; at++) elements.push(part?.elements[row * run + at] ?? null)
      if (elements.length > count) return []
    }
  }
  return [{ dims, elements }]
}

const slice: ValueRule = (call) => {
  let known = call.known(0)
  const cuts = known === undefined ? undefined : cutsOf(call, known.dims.length)
  if (known === undefined || cuts === undefined) return []
  for (const { axis, start, end, step } of cuts) {
    if (typeof start !== 'number' || typeof end !== 'number' || typeof step !== 'number' || step === 0) return []
    const places = placesOf(known.dims[axis]!, start, end, step)
    known = { dims: replaceAt(known.dims, axis, places.length), elements: picked(known, axis, places) }
  }
  return [known]
}

function placesOf(size: number, start: number, end: number, step: number): readonly number[] {
  const { from, count } = cutRange(size, start, end, step)
  return Array.from({ length: count }, (_, at) => from + at * step)
}

function replaceAt(dims: readonly number[], axis: number, size: number): readonly number[] {
  return dims.map((dimension, at) => (at === axis ? size : dimension))
}

const split: ValueRule = (call) => {
  const known = call.known(0)
  if (known?.dims.length !== 1) return []
  const sizes = splitSizes(call, known.elements.length, call.node.outputs.length)
  let at = 0
  return sizes.map((size): KnownTensor | undefined => {
    if (typeof size !== 'number' || size < 0) return undefined
    const elements = known.elements.slice(at, (at += size))
    return { dims: [elements.length], elements }
  })
}

const tile: ValueRule = (call, dims) => {
  const known = call.known(0)
  const count = smallCount(dims)
  if (known === undefined || count === undefined || (known.dims.length !== 1 && known.elements.length !== 1)) return []
  const { elements } = known
  if (elements.length === 0) return []
  return [{ dims, elements: Array.from({ length: count }, (_, at) => elements[at % elements.length]!) }]
}

const transpose: ValueRule = (call, dims) => {
  const known = call.known(0)
  if (known === undefined) return []
  if (known.dims.length < 2) return [{ dims, elements: known.elements }]
  const order = call.ints('perm') ?? [1, 0]
  if (known.dims.length !== 2 || order[0] !== 1) return []
  const [rows, columns] = known.dims as readonly [number, number]
  const elements = Array.from({ length: rows * columns }, (_, at) => {
    return known.elements[(at % rows) * columns + Math.floor(at / rows)]!
  })
  return [{ dims, elements }]
}

/** Updates at single places of a list, as exporters patch a shape. */
const scatter: ValueRule = (call) => {
  const [known, indices, updates] = [call.known(0), call.numbers(1), call.known(2)]
  if (known?.dims.length !== 1 || indices === undefined || indices.length !== updates?.elements.length) return []
  if (call.text('reduction', 'none') !== 'none') return []
  const elements = [...known.elements]
  for (const [at, index] of indices.entries()) {
    const place = axisWithin(index, elements.length)
    if (place === undefined) return []
    elements[place] = updates.elements[at]!
  }
  return [{ dims: known.dims, elements }]
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1)
}

/** ReduceX of one element, Squeeze and the like keep what they hold. */
export const LAYOUT = [
  { operators: 'Identity Reshape Squeeze Unsqueeze Flatten Dropout', rule: onlyFirst(sameElements) },
  { operators: 'Expand', rule: expand },
  { operators: 'Gather', rule: gather },
  { operators: 'Concat', rule: concat },
  { operators: 'Slice', rule: slice },
  { operators: 'Split', rule: split },
  { operators: 'Tile', rule: tile },
  { operators: 'Transpose', rule: transpose },
  { operators: 'Scatter ScatterElements ScatterND', rule: scatter },
]

function onlyFirst(rule: ValueRule): ValueRule {
  return (call, dims) => rule(call, dims).slice(0, 1)
}
