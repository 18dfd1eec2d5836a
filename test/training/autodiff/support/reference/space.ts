/** Operators over space by their definitions: convolutions, pools, resampling. Padding is explicit, or `auto_pad`. */
import { array, build, combine, float, get, indices, int, ints, reshape, sizeOf, text, transpose } from './array.ts'
import type { Kernel, Numbers } from './array.ts'
import type { Node } from '../../../../../src/onnx/index.ts'
import { activated } from './elementwise.ts'

interface Windows {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly counts: readonly number[]
}

function windowsOf(node: Node, kernel: readonly number[], sizes: readonly number[]): Windows {
  const ones = kernel.map(() => 1)
  const [strides, dilations] = [ints(node, 'strides') ?? ones, ints(node, 'dilations') ?? ones]
  const span = kernel.map((width, axis) => (width - 1) * dilations[axis]! + 1)
  const same = text(node, 'auto_pad', 'NOTSET')
  const given = ints(node, 'pads') ?? [...kernel, ...kernel].map(() => 0)
  const missing = sizes.map((size, axis) =>
    Math.max(0, (Math.ceil(size / strides[axis]!) - 1) * strides[axis]! + span[axis]! - size),
  )
  const first = (pad: number): number => (same === 'SAME_LOWER' ? Math.ceil(pad / 2) : Math.floor(pad / 2))
  const isSame = same.startsWith('SAME')
  const before = isSame ? missing.map(first) : given.slice(0, kernel.length)
  const after = isSame ? missing.map((pad) => pad - first(pad)) : given.slice(kernel.length)
  const round = int(node, 'ceil_mode', 0) === 1 ? Math.ceil : Math.floor
  const counts = sizes.map((size, axis) => {
    const room = size + before[axis]! + after[axis]! - span[axis]!
    const count = round(room / strides[axis]!) + 1
    // A window may not begin in the padding at the end.
    return (count - 1) * strides[axis]! >= size + before[axis]! ? count - 1 : count
  })
  return { kernel, strides, dilations, before, after, counts }
}

/** Places that a window covers, some of them perhaps in the padding, with the tap that each is under. */
function covered(
  w: Windows,
  at: readonly number[],
): readonly (readonly [tap: readonly number[], place: readonly number[]])[] {
  return [...indices(w.kernel)].map((tap) => [
    tap,
    tap.map((own, axis) => at[axis]! * w.strides[axis]! + own * w.dilations[axis]! - w.before[axis]!),
  ])
}

const conv: Kernel = ([x, weights, bias], node) => {
  const groups = int(node, 'group', 1)
  const [out, inner, ...kernel] = weights!.dims as [number, number, ...number[]]
  const w = windowsOf(node, kernel, x!.dims.slice(2))
  return [
    build([x!.dims[0]!, out, ...w.counts], ([n, m, ...at]) => {
      const first = Math.floor(m! / (out / groups)) * inner
      let sum = bias === undefined ? 0 : bias.data[m!]!
      for (const [tap, place] of covered(w, at)) {
        for (let c = 0; c < inner; c++) {
          sum += (get(x!, [n!, first + c, ...place]) ?? 0) * get(weights!, [m!, c, ...tap])!
        }
      }
      return sum
    }),
  ]
}

/** With explicit pads and output padding. */
const convTranspose: Kernel = ([x, weights, bias], node) => {
  const groups = int(node, 'group', 1)
  const [channels, inner, ...kernel] = weights!.dims as [number, number, ...number[]]
  const ones = kernel.map(() => 1)
  const [strides, dilations] = [ints(node, 'strides') ?? ones, ints(node, 'dilations') ?? ones]
  const pads = ints(node, 'pads') ?? [...kernel, ...kernel].map(() => 0)
  const added = ints(node, 'output_padding') ?? kernel.map(() => 0)
  const sizes = kernel.map(
    (width, axis) =>
      (x!.dims[axis + 2]! - 1) * strides[axis]! +
      added[axis]! +
      (width - 1) * dilations[axis]! +
      1 -
      pads[axis]! -
      pads[axis + kernel.length]!,
  )
  const dims = [x!.dims[0]!, inner * groups, ...sizes]
  const sums = new Map<string, number>()
  for (const index of indices(x!.dims)) {
    const [n, c, ...at] = index as [number, number, ...number[]]
    const first = Math.floor(c / (channels / groups)) * inner
    for (const tap of indices(kernel)) {
      const place = tap.map((own, axis) => at[axis]! * strides[axis]! + own * dilations[axis]! - pads[axis]!)
      for (let m = 0; m < inner; m++) {
        const key = [n, first + m, ...place].join()
        sums.set(key, (sums.get(key) ?? 0) + get(x!, index)! * get(weights!, [c, m, ...tap])!)
      }
    }
  }
  return [build(dims, (index) => (sums.get(index.join()) ?? 0) + (bias === undefined ? 0 : bias.data[index[1]!]!))]
}

/** Of the numbers that each window covers within the input. */
function pool(by: (numbers: readonly number[], covers: number, node: Node) => number): Kernel {
  return ([x], node) => {
    const w = windowsOf(node, ints(node, 'kernel_shape')!, x!.dims.slice(2))
    const sizes = x!.dims.slice(2)
    const isPadded = (place: readonly number[]): boolean =>
      place.every((at, axis) => at >= -w.before[axis]! && at < sizes[axis]! + w.after[axis]!)
    return [
      build([...x!.dims.slice(0, 2), ...w.counts], ([n, c, ...at]) => {
        const places = covered(w, at).map(([, place]) => place)
        const numbers = places.map((place) => get(x!, [n!, c!, ...place])).filter((number) => number !== undefined)
        return by(numbers, places.filter(isPadded).length, node)
      }),
    ]
  }
}

const norm = (numbers: readonly number[], node: Node): number => {
  const p = int(node, 'p', 2)
  return numbers.reduce((sum, number) => sum + Math.abs(number) ** p, 0) ** (1 / p)
}
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

const globally =
  (by: (numbers: readonly number[], node: Node) => number): Kernel =>
  ([x], node) => {
    const flat = reshape(x!, [x!.dims[0]! * x!.dims[1]!, -1])
    const width = flat.dims[1]!
    const results = Array.from({ length: flat.dims[0]! }, (_, row) =>
      by(Array.from(flat.data.slice(row * width, (row + 1) * width)), node),
    )
    return [array([...x!.dims.slice(0, 2), ...x!.dims.slice(2).map(() => 1)], results)]
  }

const maxUnpool: Kernel = ([x, at, shape]) => {
  const dims = [...shape!.data]
  const data = new Float64Array(sizeOf(dims))
  for (const [index, place] of at!.data.entries()) data[place] = x!.data[index]!
  return [{ dims, data }]
}

/** Dimension by dimension: sizes given, half-pixel coordinates or those of `align_corners`; linear, cubic or nearest. */
const resize: Kernel = ([x, , scales, sizes], node) => {
  const rank = x!.dims.length
  const targets = x!.dims.map((size, axis) =>
    sizes === undefined ? Math.floor(size * scales!.data[axis]!) : sizes.data[axis]!,
  )
  let value = x!
  for (let axis = 0; axis < rank; axis++) {
    const [from, to] = [x!.dims[axis]!, targets[axis]!]
    if (from === to) continue
    const scale = sizes === undefined ? scales!.data[axis]! : to / from
    value = alongAxis(value, axis, to, (at) => weightsAt(node, at, scale, from, to))
  }
  return [value]
}

function alongAxis(
  value: Numbers,
  axis: number,
  to: number,
  weights: (at: number) => readonly (readonly [from: number, weight: number])[],
): Numbers {
  const dims = value.dims.map((size, place) => (place === axis ? to : size))
  return build(dims, (index) =>
    sum(
      weights(index[axis]!).map(
        ([from, weight]) =>
          weight *
          get(
            value,
            index.map((at, place) => (place === axis ? from : at)),
          )!,
      ),
    ),
  )
}

function weightsAt(
  node: Node,
  at: number,
  scale: number,
  from: number,
  to: number,
): readonly (readonly [number, number])[] {
  const mode = text(node, 'coordinate_transformation_mode', 'half_pixel')
  const place =
    mode === 'align_corners'
      ? (at * (from - 1)) / (to - 1)
      : mode === 'asymmetric'
        ? at / scale
        : (at + 0.5) / scale - 0.5
  const clamp = (index: number): number => Math.max(0, Math.min(from - 1, index))
  const kind = text(node, 'mode', 'nearest')
  if (kind === 'nearest') {
    const rounded =
      text(node, 'nearest_mode', 'round_prefer_floor') === 'floor' ? Math.floor(place) : Math.ceil(place - 0.5)
    return [[clamp(rounded), 1]]
  }
  const base = Math.floor(place)
  if (kind === 'linear') {
    const inside = clamp(place)
    const low = Math.floor(inside)
    return [
      [low, 1 - (inside - low)],
      [clamp(low + 1), inside - low],
    ]
  }
  const a = float(node, 'cubic_coeff_a', -0.75)
  return [-1, 0, 1, 2].map((step) => [clamp(base + step), cubic(Math.abs(place - base - step), a)])
}

/** Keys' kernel. */
function cubic(x: number, a: number): number {
  if (x <= 1) return (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1
  return x < 2 ? a * x ** 3 - 5 * a * x ** 2 + 8 * a * x - 4 * a : 0
}

const depthToSpace: Kernel = ([x], node) => {
  const [n, c, h, w] = x!.dims as [number, number, number, number]
  const b = int(node, 'blocksize', 1)
  const isColumns = text(node, 'mode', 'DCR') === 'CRD'
  const six = reshape(x!, isColumns ? [n, c / b / b, b, b, h, w] : [n, b, b, c / b / b, h, w])
  return [reshape(transpose(six, isColumns ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]), [n, c / b / b, h * b, w * b])]
}

const spaceToDepth: Kernel = ([x], node) => {
  const [n, c, h, w] = x!.dims as [number, number, number, number]
  const b = int(node, 'blocksize', 1)
  const six = transpose(reshape(x!, [n, c, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4])
  return [reshape(six, [n, c * b * b, h / b, w / b])]
}

const fusedConv: Kernel = ([x, weights, bias, other], node) => {
  const [product] = conv([x, weights, bias], node)
  const total = other === undefined ? product! : combine([product!, other], (a, b) => a + b)
  return [activated(total, text(node, 'activation', ''), 0)]
}

/** The class takes the place `axis` of the result; one from the end counts back. */
const oneHot: Kernel = ([at, depth, values], node) => {
  const given = int(node, 'axis', -1)
  const axis = given < 0 ? given + at!.dims.length + 1 : given
  const count = depth!.data[0]!
  const wrapped = (wanted: number): number => (wanted < 0 ? wanted + count : wanted)
  const dims = [...at!.dims.slice(0, axis), count, ...at!.dims.slice(axis)]
  return [
    build(dims, (index) => {
      const wanted = wrapped(get(at!, [...index.slice(0, axis), ...index.slice(axis + 1)])!)
      return values!.data[wanted === index[axis] ? 1 : 0]!
    }),
  ]
}

export const SPACE: Readonly<Record<string, Kernel>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  'com.microsoft:FusedConv': fusedConv,
  MaxPool: pool((numbers) => Math.max(...numbers)),
  AveragePool: pool(
    (numbers, covers, node) => sum(numbers) / (int(node, 'count_include_pad', 0) === 1 ? covers : numbers.length),
  ),
  LpPool: pool((numbers, _, node) => norm(numbers, node)),
  GlobalAveragePool: globally((numbers) => sum(numbers) / numbers.length),
  GlobalMaxPool: globally((numbers) => Math.max(...numbers)),
  GlobalLpPool: globally(norm),
  MaxUnpool: maxUnpool,
  Resize: resize,
  OneHot: oneHot,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
}
