/** Inputs made up for a check: by type, in ranges that models of most kinds accept, the same on every machine. */
import { TENSOR_ARRAYS } from '../engine.ts'
import type { AnyTensor, Tensor } from '../engine.ts'
import type { Dimension, ValueInfo } from '../ir/index.ts'
import { decoderFeed, decoderSteps } from './decoder-feeds.ts'

export type Feeds = Readonly<Record<string, AnyTensor>>

/** Sizes for dimensions that are free, and what the numbers are like. */
interface Attempt {
  readonly batch: number
  readonly length: number
  /** Of images. */
  readonly side: number
  /** Floats are in [-scale, scale), or [0, scale) without a sign. */
  readonly scale: number
  readonly signed: boolean
  /** Integers are in [0, integers). */
  readonly integers: number
  readonly rate: number
}

/** The engine takes two of them, in the best case the first; a model with one size alone refuses some. */
const ATTEMPTS: readonly Attempt[] = [
  { batch: 1, length: 8, side: 64, scale: 1, signed: true, integers: 8, rate: 16000 },
  { batch: 2, length: 5, side: 96, scale: 3, signed: true, integers: 2, rate: 8000 },
  { batch: 1, length: 16, side: 32, scale: 1, signed: false, integers: 1, rate: 16000 },
  { batch: 3, length: 12, side: 128, scale: 255, signed: false, integers: 16, rate: 16000 },
  { batch: 1, length: 256, side: 224, scale: 1, signed: true, integers: 2, rate: 8000 },
  { batch: 1, length: 512, side: 320, scale: 1, signed: true, integers: 2, rate: 16000 },
  { batch: 1, length: 1, side: 416, scale: 1, signed: true, integers: 1, rate: 16000 },
  { batch: 1, length: 4096, side: 640, scale: 1, signed: true, integers: 4, rate: 16000 },
  { batch: 1, length: 2, side: 8, scale: 1, signed: true, integers: 2, rate: 16000 },
]

/** Elements of one case: more would make the check, and not the model, need a large machine. */
const MOST_ELEMENTS = 1 << 26
const WORDS = ['weft', '', 'a', 'partition 7', 'Zürich', '0.5', '織']

/** What the binding cannot be fed with; null where all can be made. */
export function unfeedable(inputs: readonly ValueInfo[]): ValueInfo | null {
  return inputs.find(({ type }) => type?.kind !== 'tensor' || !isFeedable(type.type)) ?? null
}

function isFeedable(type: string): boolean {
  return type === 'string' || type in TENSOR_ARRAYS
}

/** Cases to try, one after another, none twice. */
export function* feedCases(inputs: readonly ValueInfo[]): Generator<Feeds, undefined> {
  yield* decoderCases(inputs)
  for (const [index, attempt] of ATTEMPTS.entries()) {
    const shapes = shapesOf(inputs, attempt)
    if (elementsOf(shapes) > MOST_ELEMENTS) continue
    const random = generator(index + 1)
    const feeds = Object.create(null) as Record<string, AnyTensor>
    for (const [at, info] of inputs.entries()) feeds[info.name] = tensorFor(info, shapes[at]!, attempt, random)
    yield feeds
  }
}

function elementsOf(shapes: readonly (readonly number[])[]): number {
  return shapes.reduce((sum, dims) => sum + dims.reduce((product, dim) => product * dim, 1), 0)
}

/** What a decoder has beside caches and tokens is made up as for any model. */
function* decoderCases(inputs: readonly ValueInfo[]): Generator<Feeds, undefined> {
  const [attempt] = ATTEMPTS as readonly [Attempt, ...Attempt[]]
  for (const [index, step] of decoderSteps(inputs).entries()) {
    const random = generator(ATTEMPTS.length + index + 1)
    const shapes = shapesOf(inputs, attempt)
    if (elementsOf(shapes) > MOST_ELEMENTS) continue
    const feeds = Object.create(null) as Record<string, AnyTensor>
    for (const [at, info] of inputs.entries()) {
      feeds[info.name] = decoderFeed(info, step, random) ?? tensorFor(info, shapes[at]!, attempt, random)
    }
    yield feeds
  }
}

/** One size for each name of a dimension, whoever has it first; nothing is known of ranks that are not declared. */
function shapesOf(inputs: readonly ValueInfo[], attempt: Attempt): readonly (readonly number[])[] {
  const named = new Map<string, number>()
  return inputs.map(({ type }) => {
    const shape = type?.kind === 'tensor' ? type.shape : null
    if (shape === null) return [attempt.batch, attempt.length]
    const free = shape.filter(isFree).length
    return shape.map((dimension, axis) => {
      if (!isFree(dimension)) return dimension
      if (typeof dimension !== 'string') return sizeOf('', axis, shape.length, free, attempt)
      const size = named.get(dimension) ?? sizeOf(dimension, axis, shape.length, free, attempt)
      named.set(dimension, size)
      return size
    })
  })
}

/** Some exporters write -1 for a size that is free. */
function isFree(dimension: Dimension): dimension is string | null {
  return typeof dimension !== 'number' || dimension < 0
}

function sizeOf(name: string, axis: number, rank: number, free: number, attempt: Attempt): number {
  if (/batch|^n$|^b$/i.test(name)) return attempt.batch
  if (/height|width|^h$|^w$/i.test(name)) return attempt.side
  // The one free size of several is that of a batch, wherever it stands: [2, ?, 128] is a state.
  if (rank > 1 && (axis === 0 || free === 1)) return attempt.batch
  if (rank === 4) return axis === 1 ? 3 : attempt.side
  return attempt.length
}

function tensorFor(info: ValueInfo, dims: readonly number[], attempt: Attempt, random: () => number): AnyTensor {
  const type = info.type?.kind === 'tensor' ? info.type.type : 'float32'
  const count = dims.reduce((product, dim) => product * dim, 1)
  if (type === 'string') {
    return { type, dims, data: Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]!) }
  }
  const known = type as Tensor['type']
  return { type: known, dims, data: numbers(known, count, info.name, attempt, random) }
}

function numbers(
  type: Tensor['type'],
  count: number,
  name: string,
  attempt: Attempt,
  random: () => number,
): Tensor['data'] {
  const data = new TENSOR_ARRAYS[type](count)
  if (type === 'float32' || type === 'float64') {
    for (let at = 0; at < count; at++) data[at] = attempt.scale * (attempt.signed ? 2 * random() - 1 : random())
  } else if (type === 'float16') {
    // Its bits: a magnitude from 2^-5 to 2.
    const sign = attempt.signed ? 0x8000 : 0
    for (let at = 0; at < count; at++) {
      const magnitude = ((10 + Math.floor(random() * 6)) << 10) | Math.floor(random() * 1024)
      data[at] = magnitude | (random() < 0.5 ? sign : 0)
    }
  } else {
    const integer = integers(type, name, count, attempt, random)
    for (let at = 0; at < count; at++) {
      const value = integer(at)
      data[at] = data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(value) : value
    }
  }
  return data
}

function integers(
  type: Tensor['type'],
  name: string,
  count: number,
  attempt: Attempt,
  random: () => number,
): (at: number) => number {
  if (type === 'bool') return () => (random() < 0.5 ? 1 : 0)
  if (/^sr$|sample_?rate/i.test(name)) return () => attempt.rate
  if (/mask/i.test(name)) return (at) => (at === 0 || random() < 0.8 ? 1 : 0)
  if (/position/i.test(name)) return (at) => at % Math.max(1, attempt.length)
  if (/len(gth)?s?$/i.test(name) && count <= attempt.batch) return () => attempt.length
  return () => Math.floor(random() * attempt.integers)
}

/** mulberry32: small, and the same everywhere. In [0, 1). */
function generator(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
