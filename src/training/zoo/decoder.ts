/** A decoder in the style of Llama (Touvron et al., arXiv 2302.13971), of any size, in standard operators. */
import type { GraphMaker } from '../graph/graph-maker.ts'
import { smallNormal } from './initialisers.ts'
import type { Layers } from './layers.ts'

export interface DecoderSpec {
  readonly layers: number
  readonly width: number
  readonly heads: number
  /** Heads of keys and values, each for heads / kv_heads queries (Ainslie et al., arXiv 2305.13245). @default heads */
  readonly kv_heads?: number | undefined
  /** @default 8/3 of the width, up to a multiple of 32 */
  readonly hidden?: number | undefined
  /** The head is the embedding. @default true */
  readonly tied?: boolean | undefined
}

export const EPSILON = 1e-5
export const ROTARY_BASE = 10_000
/** What is added to the scores of tokens that come later: far below any score, and a float16 too. */
const MASKED = -60_000

/** tokens int64 [batch, length], of `length` at most; scores [batch, length, vocabulary]. */
export function decoder(
  layers: Layers,
  tokens: string,
  { vocabulary, length }: { readonly vocabulary: number; readonly length: number },
  spec: DecoderSpec,
): string {
  const { maker } = layers
  const { width } = spec
  const embedding = layers.weight('embedding.weight', [vocabulary, width], vocabulary, width, smallNormal)
  const places = placesOf(maker, tokens, length, width / spec.heads)
  let value = maker.op('Gather', [embedding, tokens], { axis: 0 })
  for (let index = 0; index < spec.layers; index++) value = block(layers, `layers.${index}`, value, places, spec)
  value = rmsNorm(layers, 'norm', value, width)
  if (spec.tied ?? true) return maker.op('MatMul', [value, maker.op('Transpose', [embedding], { perm: [1, 0] })])
  return maker.op('MatMul', [value, layers.weight('head.weight', [width, vocabulary], width, vocabulary, smallNormal)])
}

interface Places {
  /** [1, 1, length, head / 2] */
  readonly cos: string
  readonly sin: string
  /** [length, length] */
  readonly mask: string
}

/** Tables for the longest text, cut to the length of this one. */
function placesOf(maker: GraphMaker, tokens: string, length: number, head: number): Places {
  const half = head / 2
  const angles = Array.from({ length: length * half }, (_, at) => {
    return Math.floor(at / half) / ROTARY_BASE ** ((at % half) / half)
  })
  const size = maker.op('Gather', [maker.op('Shape', [tokens]), maker.int64s([1])], { axis: 0 })
  const cut = (table: string, axis: number): string =>
    maker.op('Slice', [table, maker.int64s([0]), size, maker.int64s([axis])])
  const table = (of: (angle: number) => number): string =>
    maker.constant('float32', [1, 1, length, half], angles.map(of))
  const later = Array.from({ length: length * length }, (_, at) => (at % length > Math.floor(at / length) ? MASKED : 0))
  const mask = maker.constant('float32', [length, length], later)
  return { cos: cut(table(Math.cos), 2), sin: cut(table(Math.sin), 2), mask: cut(cut(mask, 0), 1) }
}

export function hiddenOf({ width, hidden }: Pick<DecoderSpec, 'width' | 'hidden'>): number {
  return hidden ?? Math.ceil((8 * width) / 3 / 32) * 32
}

function block(layers: Layers, name: string, x: string, places: Places, spec: DecoderSpec): string {
  const { maker } = layers
  const { width } = spec
  const hidden = hiddenOf(spec)
  const project = (part: string, value: string, from: number, to: number): string =>
    maker.op('MatMul', [value, layers.weight(`${name}.${part}.weight`, [from, to], from, to, smallNormal)])
  const attended = attention(layers, name, rmsNorm(layers, `${name}.norm0`, x, width), places, spec, project)
  const middle = maker.op('Add', [x, attended])
  const normed = rmsNorm(layers, `${name}.norm1`, middle, width)
  const gate = layers.activate('silu', project('gate', normed, width, hidden))
  const up = project('up', normed, width, hidden)
  return maker.op('Add', [middle, project('down', maker.op('Mul', [gate, up]), hidden, width)])
}

type Project = (part: string, value: string, from: number, to: number) => string

function attention(
  { maker }: Layers,
  _name: string,
  x: string,
  { cos, sin, mask }: Places,
  { width, heads, kv_heads: kvHeads = heads }: DecoderSpec,
  project: Project,
): string {
  const head = width / heads
  const split = (value: string, count: number): string =>
    maker.op('Transpose', [maker.op('Reshape', [value, maker.int64s([0, 0, count, head])])], { perm: [0, 2, 1, 3] })
  const shared = (value: string): string => {
    if (kvHeads === heads) return value
    // Each head of keys stands for several of queries: [b, k, t, d] -> [b, k, 1, t, d] -> [b, k, n, t, d] -> [b, kn, t, d].
    const apart = maker.op('Unsqueeze', [value, maker.int64s([2])])
    const wide = maker.op(
      'Concat',
      Array.from({ length: heads / kvHeads }, () => apart),
      { axis: 2 },
    )
    const shape = maker.op('Concat', [maker.op('Shape', [x], { start: 0, end: 1 }), maker.int64s([heads, -1, head])], {
      axis: 0,
    })
    return maker.op('Reshape', [wide, shape])
  }
  const query = rotated(maker, split(project('query', x, width, width), heads), cos, sin, head)
  const key = shared(rotated(maker, split(project('key', x, width, kvHeads * head), kvHeads), cos, sin, head))
  const value = shared(split(project('value', x, width, kvHeads * head), kvHeads))
  const products = maker.op('MatMul', [query, maker.op('Transpose', [key], { perm: [0, 1, 3, 2] })])
  const scores = maker.op('Add', [maker.op('Mul', [products, maker.scalar(1 / Math.sqrt(head))]), mask])
  const mixed = maker.op('MatMul', [maker.op('Softmax', [scores], { axis: -1 }), value])
  const joined = maker.op('Reshape', [
    maker.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }),
    maker.int64s([0, 0, width]),
  ])
  return project('output', joined, width, width)
}

/** Halves turn against each other (Su et al., arXiv 2104.09864, as Llama lays them). */
function rotated(maker: GraphMaker, value: string, cos: string, sin: string, head: number): string {
  const [left, right] = maker.ops('Split', [value, maker.int64s([head / 2, head / 2])], 2, { axis: 3 }) as [
    string,
    string,
  ]
  const turned = [
    maker.op('Sub', [maker.op('Mul', [left, cos]), maker.op('Mul', [right, sin])]),
    maker.op('Add', [maker.op('Mul', [right, cos]), maker.op('Mul', [left, sin])]),
  ]
  return maker.op('Concat', turned, { axis: 3 })
}

/** x / sqrt(mean x^2 + epsilon) * weight (Zhang and Sennrich, arXiv 1910.07467). */
function rmsNorm(layers: Layers, name: string, x: string, width: number): string {
  const { maker } = layers
  const squares = maker.op('Mul', [x, x])
  const mean = maker.op('ReduceMean', [squares, maker.int64s([-1])], { keepdims: 1 })
  const root = maker.op('Sqrt', [maker.op('Add', [mean, maker.scalar(EPSILON)])])
  return maker.op('Mul', [maker.op('Div', [x, root]), layers.ones(`${name}.weight`, width)])
}
