/** Attention by its definition: softmax(q k' / sqrt(size)) v, head by head, with rotary positions and masks. */
import { build, combine, cut, float, get, int, ints, join, map, matmul, reshape, transpose } from './array.ts'
import type { Inputs, Kernel, Numbers } from './array.ts'
import type { Node } from '../../../../../src/onnx/index.ts'
import { fold } from './norms.ts'

/** [batch, length, heads * size] to [batch, heads, length, size] */
function split(value: Numbers, heads: number): Numbers {
  const [batch, length] = value.dims as [number, number]
  return transpose(reshape(value, [batch, length, heads, -1]), [0, 2, 1, 3])
}

function merged(value: Numbers): Numbers {
  const [batch, , length] = value.dims as [number, number, number]
  return reshape(transpose(value, [0, 2, 1, 3]), [batch, length, -1])
}

interface Options {
  readonly scale?: number
  readonly softcap?: number
  /** Added to the score of a query and a key. */
  readonly bias?: Numbers | undefined
  /** Whether a query of a batch sees a key. */
  readonly sees?: (batch: number, query: number, key: number) => boolean
}

function attend(q: Numbers, k: Numbers, v: Numbers, options: Options): Numbers {
  const group = q.dims[1]! / k.dims[1]!
  const wide = (value: Numbers): Numbers =>
    build([value.dims[0]!, q.dims[1]!, ...value.dims.slice(2)], ([n, head, ...rest]) =>
      get(value, [n!, Math.floor(head! / group), ...rest])!,
    )
  const scale = options.scale || 1 / Math.sqrt(q.dims[3]!)
  const cap = options.softcap ?? 0
  let scores = map(matmul(q, transpose(wide(k), [0, 1, 3, 2])), (x) => x * scale)
  if (cap > 0) scores = map(scores, (x) => cap * Math.tanh(x / cap))
  if (options.bias !== undefined) scores = combine([scores, options.bias], (x, y) => x + y)
  const seen = build(scores.dims, (index) => {
    const [n, , query, key] = index as [number, number, number, number]
    return options.sees?.(n, query, key) === false ? -Infinity : get(scores, index)!
  })
  const highest = fold(seen, [3], (numbers) => Math.max(...numbers))
  const weights = combine([seen, highest], (x, y) => Math.exp(x - y))
  const sums = fold(weights, [3], (numbers) => numbers.reduce((total, number) => total + number, 0))
  return matmul(
    combine([weights, sums], (x, y) => x / y),
    wide(v),
  )
}

/** By the angles of a place, [batch, heads, length, size]. */
function rotated(
  x: Numbers,
  cos: Numbers,
  sin: Numbers,
  place: (n: number, at: number) => number,
  isInterleaved: boolean,
): Numbers {
  const half = cos.dims.at(-1)!
  return build(x.dims, ([n, head, at, column]) => {
    if (column! >= 2 * half) return get(x, [n!, head!, at!, column!])!
    const pair = isInterleaved ? column! >> 1 : column! % half
    const isFirst = isInterleaved ? column! % 2 === 0 : column! < half
    const other = isInterleaved ? column! ^ 1 : (column! + half) % (2 * half)
    const [c, s] = [get(cos, [place(n!, at!), pair])!, get(sin, [place(n!, at!), pair])!]
    const [own, partner] = [get(x, [n!, head!, at!, column!])!, get(x, [n!, head!, at!, other])!]
    return isFirst ? own * c - partner * s : own * c + partner * s
  })
}

const grouped: Kernel = (inputs, node) => {
  const [heads, keyHeads] = [int(node, 'num_heads', 1), int(node, 'kv_num_heads', 1)]
  const [q, k, v, pastK, pastV, lengths, , cos, sin] = inputs
  const size = q!.dims[2]! / (k === undefined ? heads + 2 * keyHeads : heads)
  const at = [0, heads * size, (heads + keyHeads) * size, (heads + 2 * keyHeads) * size]
  const parts = k === undefined ? [0, 1, 2].map((index) => cut(q!, 2, at[index]!, at[index + 1]!)) : [q!, k, v!]
  let [query, key, value] = parts.map((part, index) => split(part, index === 0 ? heads : keyHeads)) as [
    Numbers,
    Numbers,
    Numbers,
  ]
  const past = pastK?.dims[2] ?? 0
  if (int(node, 'do_rotary', 0) === 1) {
    const turn = (x: Numbers): Numbers =>
      rotated(x, cos!, sin!, (_, place) => past + place, int(node, 'rotary_interleaved', 0) === 1)
    ;[query, key] = [turn(query), turn(key)]
  }
  if (pastK !== undefined) [key, value] = [join([pastK, key], 2), join([pastV!, value], 2)]
  const window = int(node, 'local_window_size', -1)
  const sees = (n: number, row: number, column: number): boolean =>
    column <= past + row && (window <= 0 || column > past + row - window) && column <= lengths!.data[n]!
  const options = { scale: float(node, 'scale', 0), softcap: float(node, 'softcap', 0), bias: inputs[10], sees }
  return [merged(attend(query, key, value, options)), key, value]
}

/** Which keys a mask lets through: flags by key, by query and key, or how many keys there are. */
function masked(mask: Numbers | undefined): (n: number, query: number, key: number) => boolean {
  if (mask === undefined) return () => true
  if (mask.dims.length === 1) return (n, _, key) => key < mask.data[n]!
  if (mask.dims.length === 2) return (n, _, key) => get(mask, [n, key])! > 0
  return (n, query, key) => get(mask, [n, query, key])! > 0
}

function multi(
  [q, k, v]: readonly [Numbers, Numbers, Numbers],
  past: Inputs,
  mask: Numbers | undefined,
  bias: Numbers | undefined,
  node: Node,
): readonly Numbers[] {
  const [pastK, pastV] = past
  const key = pastK === undefined ? k : join([pastK, k], 2)
  const value = pastV === undefined ? v : join([pastV, v], 2)
  const before = pastK?.dims[2] ?? 0
  const isCausal = int(node, 'unidirectional', 0) === 1
  const allowed = masked(mask)
  const sees = (n: number, row: number, column: number): boolean =>
    (!isCausal || column <= before + row) && allowed(n, row, column)
  return [merged(attend(q, key, value, { scale: float(node, 'scale', 0), bias, sees })), key, value]
}

const multiHead: Kernel = ([q, k, v, bias, mask, scores, pastK, pastV], node) => {
  const heads = int(node, 'num_heads', 1)
  const width = q!.dims.length === 5 ? q!.dims[2]! * q!.dims[4]! : q!.dims[2]!
  const own = (index: number): Numbers => unpacked([q, k, v], index)
  const shifted = (index: number): Numbers => {
    const value = own(index)
    if (bias === undefined) return value
    const end = index === 2 ? bias.dims[0]! : (index + 1) * width
    return combine([value, cut(bias, 0, index * width, end)], (x, y) => x + y)
  }
  const parts = [0, 1, 2].map((index) => split(shifted(index), heads)) as [Numbers, Numbers, Numbers]
  return multi(parts, [pastK, pastV], mask, scores, node)
}

/** Query, key or value as [batch, length, heads * size], out of [batch, length, heads, 3 or 2, size]. */
function unpacked([q, k, v]: Inputs, index: number): Numbers {
  const packed = k === undefined ? q! : index > 0 && v === undefined ? k : undefined
  if (packed === undefined) return [q, k, v][index]!
  const place = k === undefined ? index : index - 1
  return reshape(cut(packed, 3, place, place + 1), [packed.dims[0]!, packed.dims[1]!, -1])
}

const projected: Kernel = ([x, weights, bias, mask, past, scores], node) => {
  const heads = int(node, 'num_heads', 1)
  const product = matmul(x!, weights!)
  const all = bias === undefined ? product : combine([product, bias], (a, b) => a + b)
  const third = weights!.dims[1]! / 3
  const widths = ints(node, 'qkv_hidden_sizes') ?? [third, third, third]
  const parts = widths.map((width, index) => {
    const from = widths.slice(0, index).reduce((total, size) => total + size, 0)
    return split(cut(all, 2, from, from + width), heads)
  }) as [Numbers, Numbers, Numbers]
  const before = [0, 1].map((at) => past && reshape(cut(past, 0, at, at + 1), past.dims.slice(1)))
  const [result, key, value] = multi(parts, before, mask, scores, node)
  const pair = [key!, value!].map((part) => reshape(part, [1, ...part.dims]))
  return [result!, join(pair, 0)]
}

const standard: Kernel = ([q, k, v, mask, pastK, pastV], node) => {
  const isFlat = q!.dims.length === 3
  const inHeads = (value: Numbers, name: string): Numbers => (isFlat ? split(value, int(node, name, 1)) : value)
  const query = inHeads(q!, 'q_num_heads')
  let [key, value] = [inHeads(k!, 'kv_num_heads'), inHeads(v!, 'kv_num_heads')]
  const before = pastK?.dims[2] ?? 0
  if (pastK !== undefined) [key, value] = [join([pastK, key], 2), join([pastV!, value], 2)]
  const isCausal = int(node, 'is_causal', 0) === 1
  const sees = (_: number, row: number, column: number): boolean => !isCausal || column <= before + row
  const options = { scale: float(node, 'scale', 0), softcap: float(node, 'softcap', 0), bias: mask, sees }
  const result = attend(query, key, value, options)
  return [isFlat ? merged(result) : result, key, value]
}

/** @param order which inputs are positions, cosines and sines */
const rotary =
  (order: readonly [positions: number, cos: number, sin: number], heads: string): Kernel =>
  (inputs, node) => {
    const [x] = inputs
    const [positions, cos, sin] = order.map((index) => inputs[index])
    const isFlat = x!.dims.length === 3
    const value = isFlat ? split(x!, int(node, heads, 0) || x!.dims[2]! / (2 * cos!.dims.at(-1)!)) : x!
    const place = (n: number, at: number): number =>
      positions!.dims.length === 1 ? positions!.data[0]! + at : get(positions!, [n, at])!
    const turned = rotated(value, cos!, sin!, place, int(node, 'interleaved', 0) === 1)
    return [isFlat ? merged(turned) : turned]
  }

export const ATTENTION: Readonly<Record<string, Kernel>> = {
  Attention: standard,
  RotaryEmbedding: rotary([3, 1, 2], 'num_heads'),
  'com.microsoft:Attention': projected,
  'com.microsoft:GroupQueryAttention': grouped,
  'com.microsoft:MultiHeadAttention': multiHead,
  'com.microsoft:RotaryEmbedding': rotary([1, 2, 3], 'num_heads'),
}
