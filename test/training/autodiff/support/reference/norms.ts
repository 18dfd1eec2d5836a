/** Normalizations by their definitions, and reductions that the engine has in float32 only. */
import { build, combine, cut, float, get, indices, int, ints, map, reshape, stretchedAt } from './array.ts'
import type { Kernel, Numbers } from './array.ts'

/** One number for each group of elements that differ in these axes alone, which stay as 1. */
export function fold(value: Numbers, axes: readonly number[], by: (numbers: readonly number[]) => number): Numbers {
  const dims = value.dims.map((size, axis) => (axes.includes(axis) ? 1 : size))
  const groups = new Map<string, number[]>()
  for (const index of indices(value.dims)) {
    const key = index.map((at, axis) => (axes.includes(axis) ? 0 : at)).join()
    groups.set(key, [...(groups.get(key) ?? []), get(value, index)!])
  }
  return build(dims, (index) => by(groups.get(index.join())!))
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0)
export const mean = (numbers: readonly number[]): number => total(numbers) / numbers.length
const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, at) => from + at)

interface Normalized {
  readonly value: Numbers
  readonly mean: Numbers
  readonly inverse: Numbers
}

export function normalize(x: Numbers, axes: readonly number[], epsilon: number, isCentred = true): Normalized {
  const middle = fold(x, axes, isCentred ? mean : () => 0)
  const centred = combine([x, middle], (a, b) => a - b)
  const square = fold(centred, axes, (numbers) => mean(numbers.map((number) => number * number)))
  const inverse = map(square, (number) => 1 / Math.sqrt(number + epsilon))
  return { value: combine([centred, inverse], (a, b) => a * b), mean: middle, inverse }
}

/** Scale and shift, each stretched from the last dimension. */
function scaled(value: Numbers, scale: Numbers, shift?: Numbers): Numbers {
  const by = combine([value, scale], (x, y) => x * y)
  return shift === undefined ? by : combine([by, shift], (x, y) => x + y)
}

const layer =
  (isCentred: boolean): Kernel =>
  ([x, scale, shift], node) => {
    const rank = x!.dims.length
    const first = int(node, 'axis', -1)
    const axes = range(first < 0 ? first + rank : first, rank)
    const normalized = normalize(x!, axes, float(node, 'epsilon', 1e-5), isCentred)
    return [scaled(normalized.value, scale!, shift), normalized.mean, normalized.inverse]
  }

/** A channel's number for [N, C, ...]. */
function perChannel(value: Numbers, rank: number): Numbers {
  return reshape(value, [value.dims[0]!, ...Array.from({ length: rank - 2 }, () => 1)])
}

const batch: Kernel = ([x, scale, shift, middle, variance], node) => {
  const rank = x!.dims.length
  const of = (value: Numbers): Numbers => perChannel(value, rank)
  const epsilon = float(node, 'epsilon', 1e-5)
  if (int(node, 'training_mode', 0) === 1) {
    const axes = range(0, rank).filter((axis) => axis !== 1)
    const { value, mean: current } = normalize(x!, axes, epsilon)
    const squares = fold(
      combine([x!, current], (a, b) => (a - b) ** 2),
      axes,
      mean,
    )
    const momentum = float(node, 'momentum', 0.9)
    const running = (old: Numbers, own: Numbers): Numbers =>
      combine([old, reshape(own, old.dims)], (a, b) => a * momentum + b * (1 - momentum))
    return [scaled(value, of(scale!), of(shift!)), running(middle!, current), running(variance!, squares)]
  }
  const centred = combine([x!, of(middle!)], (a, b) => a - b)
  const value = combine([centred, of(variance!)], (a, b) => a / Math.sqrt(b + epsilon))
  return [scaled(value, of(scale!), of(shift!))]
}

const instance: Kernel = ([x, scale, shift], node) => {
  const rank = x!.dims.length
  const { value } = normalize(x!, range(2, rank), float(node, 'epsilon', 1e-5))
  return [scaled(value, perChannel(scale!, rank), perChannel(shift!, rank))]
}

const group: Kernel = ([x, scale, shift], node) => {
  const [rank, groups] = [x!.dims.length, int(node, 'num_groups', 1)]
  const grouped = reshape(x!, [x!.dims[0]!, groups, -1])
  const value = reshape(normalize(grouped, [2], float(node, 'epsilon', 1e-5)).value, x!.dims)
  return [scaled(value, perChannel(scale!, rank), perChannel(shift!, rank))]
}

const meanVariance: Kernel = ([x], node) => {
  const axes = ints(node, 'axes') ?? [0, 2, 3]
  const centred = combine([x!, fold(x!, axes, mean)], (a, b) => a - b)
  const deviation = fold(centred, axes, (numbers) => Math.sqrt(mean(numbers.map((number) => number * number))))
  return [combine([centred, deviation], (a, b) => a / (b + 1e-9))]
}

const lp: Kernel = ([x], node) => {
  const axis = int(node, 'axis', -1)
  const norm = fold(x!, [axis < 0 ? axis + x!.dims.length : axis], (numbers) =>
    int(node, 'p', 2) === 1 ? total(numbers.map(Math.abs)) : Math.hypot(...numbers),
  )
  return [combine([x!, norm], (a, b) => a / b)]
}

const localResponse: Kernel = ([x], node) => {
  const size = int(node, 'size', 1)
  const [alpha, beta, bias] = [float(node, 'alpha', 1e-4), float(node, 'beta', 0.75), float(node, 'bias', 1)]
  return [
    build(x!.dims, (index) => {
      const [n, c, ...space] = index as [number, number, ...number[]]
      let squares = 0
      for (let at = c - Math.floor((size - 1) / 2); at <= c + Math.ceil((size - 1) / 2); at++) {
        squares += (get(x!, [n, at, ...space]) ?? 0) ** 2
      }
      return get(x!, index)! / (bias + (alpha / size) * squares) ** beta
    }),
  ]
}

const skip =
  (isCentred: boolean): Kernel =>
  ([x, other, scale, ...rest], node) => {
    const [shift, bias] = isCentred ? rest : [undefined, rest[0]]
    const sum = combine([x!, other!, ...(bias === undefined ? [] : [bias])], (...all) => total(all))
    const rows = normalize(sum, [sum.dims.length - 1], float(node, 'epsilon', 1e-12), isCentred)
    return [scaled(rows.value, scale!, shift), rows.mean, rows.inverse, sum]
  }

/** Rows of three tables, added up and normalized. */
const embedding: Kernel = ([ids, segments, words, places, kinds, scale, shift, mask, positions], node) => {
  const [batches, length] = ids!.dims as [number, number]
  const width = words!.dims[1]!
  const sum = build([batches, length, width], ([n, at, column]) => {
    const place = positions === undefined ? at! : stretchedAt(positions, [n!, at!])
    const kind = segments === undefined ? 0 : get(kinds!, [get(segments, [n!, at!])!, column!])!
    return get(words!, [get(ids!, [n!, at!])!, column!])! + get(places!, [place, column!])! + kind
  })
  const { value } = normalize(sum, [2], float(node, 'epsilon', 1e-12))
  const seen = build([batches], ([n]) => (mask === undefined ? 0 : total([...cut(mask, 0, n!, n! + 1).data])))
  return [scaled(value, scale!, shift), seen, sum]
}

/** Axes from the second input; all without it. */
const reduced =
  (by: (numbers: readonly number[]) => number): Kernel =>
  ([x, axes], node) => {
    const rank = x!.dims.length
    const over = axes === undefined ? range(0, rank) : [...axes.data].map((axis) => (axis < 0 ? axis + rank : axis))
    const kept = fold(x!, over, by)
    return [
      int(node, 'keepdims', 1) === 1
        ? kept
        : reshape(
            kept,
            x!.dims.filter((_, axis) => !over.includes(axis)),
          ),
    ]
  }

export const NORMS: Readonly<Record<string, Kernel>> = {
  LayerNormalization: layer(true),
  SimplifiedLayerNormalization: layer(false),
  RMSNormalization: layer(false),
  BatchNormalization: batch,
  InstanceNormalization: instance,
  GroupNormalization: group,
  MeanVarianceNormalization: meanVariance,
  LpNormalization: lp,
  LRN: localResponse,
  ReduceProd: reduced((numbers) => numbers.reduce((product, number) => product * number, 1)),
  ReduceL1: reduced((numbers) => total(numbers.map(Math.abs))),
  ReduceL2: reduced((numbers) => Math.hypot(...numbers)),
  'com.microsoft:SkipLayerNormalization': skip(true),
  'com.microsoft:SkipSimplifiedLayerNormalization': skip(false),
  'com.microsoft:EmbedLayerNormalization': embedding,
}
