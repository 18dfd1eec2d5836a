/** Attention over heads, written out: the core that all its operators share. */
import type { Dimension } from '../../../onnx/index.ts'
import type { RewriteSite } from '../rewrite.ts'

/** [batch, heads, length, size] each; heads of keys may be fewer, each for a group of queries. */
export interface Attention {
  readonly query: string
  readonly key: string
  readonly value: string
  readonly heads: number
  readonly keyHeads: number
  /** 1 / sqrt(size) where it is left out. */
  readonly scale?: number
  /** Scores beyond it are bent: softcap tanh(score / softcap). */
  readonly softcap?: number
  /** Added to the scores [batch, heads, queries, keys]. */
  readonly bias?: string
  /** bool, stretched to the scores: false where nothing is seen. */
  readonly seen?: readonly string[]
}

/** Masked scores: low enough to weigh nothing, and finite. */
const NOTHING = -1e30

/** [batch, heads, queries, size of values] */
export function attend(site: RewriteSite, attention: Attention): string {
  const { query, heads, keyHeads, scale, softcap = 0, bias, seen = [] } = attention
  const group = heads / keyHeads
  const [key, value] = [attention.key, attention.value].map((part) => repeatHeads(site, part, group))
  const scaled = site.mul(query, scale === undefined ? inverseRootOfSize(site, query) : site.number(scale))
  let scores = site.op('MatMul', [scaled, site.op('Transpose', [key!], { perm: [0, 1, 3, 2] })])
  if (softcap > 0) {
    scores = site.mul(site.op('Tanh', [site.div(scores, site.number(softcap))]), site.number(softcap))
  }
  if (bias !== undefined) scores = site.add(scores, bias)
  for (const mask of seen) scores = site.op('Where', [mask, scores, site.number(NOTHING)])
  return site.op('MatMul', [site.op('Softmax', [scores], { axis: -1 }), value!])
}

function inverseRootOfSize(site: RewriteSite, query: string): string {
  const size = site.op('Cast', [site.op('Shape', [query], { start: -1 })], { to: 1 })
  const root = site.op('Reciprocal', [site.op('Sqrt', [size])])
  return site.cast(root, site.floatType(site.input(0)))
}

/** Each head `times` over, side by side. */
function repeatHeads(site: RewriteSite, value: string, times: number): string {
  if (times === 1) return value
  const shape = site.op('Shape', [value])
  const part = (from: number, to: number): string => site.slice(shape, 0, from, to)
  const wide = site.op('Concat', [part(0, 2), site.int64s([times]), part(2, 4)], { axis: 0 })
  const stretched = site.op('Expand', [site.unsqueeze(value, [2]), wide])
  const [batch, heads, rest] = [part(0, 1), site.mul(part(1, 2), site.int64s([times])), part(2, 4)]
  return site.op('Reshape', [stretched, site.op('Concat', [batch, heads, rest], { axis: 0 })], { allowzero: 1 })
}

/** [batch, length, heads * size] to [batch, heads, length, size] */
export function splitHeads(site: RewriteSite, value: string, heads: number): string {
  return site.transpose(site.op('Reshape', [value, site.int64s([0, 0, heads, -1])]), [0, 2, 1, 3])
}

export function joinHeads(site: RewriteSite, value: string): string {
  return site.op('Reshape', [site.transpose(value, [0, 2, 1, 3]), site.int64s([0, 0, -1])])
}

/** int64 [length]: from an offset (int64 [1]) on. */
export function positionsFrom(site: RewriteSite, offset: string, length: string): string {
  const scalar = (value: string): string => site.op('Squeeze', [value, site.int64s([0])])
  const range = site.op('Range', [site.builder.int64(0), scalar(length), site.builder.int64(1)])
  return site.add(range, offset)
}

/** bool [queries, keys]: keys up to the place of the query, and no more than `window` back where that is given. */
export function causal(site: RewriteSite, past: string, queries: string, keys: string, window = -1): readonly string[] {
  const rows = site.unsqueeze(positionsFrom(site, past, queries), [1])
  const columns = site.unsqueeze(positionsFrom(site, site.int64s([0]), keys), [0])
  const before = site.op('LessOrEqual', [columns, rows])
  if (window <= 0) return [before]
  return [before, site.op('Greater', [columns, site.sub(rows, site.int64s([window]))])]
}

/** int64 [1]: one size of a value that this rewriting made. */
export function sizeOf(site: RewriteSite, value: string, axis: number): string {
  return site.op('Shape', [value], { start: axis, end: axis + 1 })
}

/**
 * Turns pairs of elements of [batch, heads, length, size] by angles.
 * @param cosines and sines, stretched to [batch, heads, length, rotary / 2]
 */
export function rotate(
  site: RewriteSite,
  value: string,
  cosines: string,
  sines: string,
  half: Dimension | string,
  isInterleaved: boolean,
): string {
  const width = typeof half === 'number' ? half : site.refuse('the size of its rotation is not known before it runs')
  const last = (from: number, to: number): string => site.slice(value, 3, from, to)
  const rest = site.slice(value, 3, 2 * width, 2 ** 31)
  if (!isInterleaved) {
    const [first, second] = [last(0, width), last(width, 2 * width)]
    const turned = turn(site, first, second, cosines, sines)
    return site.concat([...turned, rest], 3)
  }
  const pairs = site.op('Reshape', [last(0, 2 * width), site.int64s([0, 0, 0, width, 2])])
  const [even, odd] = [0, 1].map((at) => site.op('Gather', [pairs, site.builder.int64(at)], { axis: 4 }))
  const turned = turn(site, even!, odd!, cosines, sines).map((part) => site.unsqueeze(part, [4]))
  const joined = site.op('Reshape', [site.concat(turned, 4), site.int64s([0, 0, 0, 2 * width])])
  return site.concat([joined, rest], 3)
}

function turn(site: RewriteSite, x: string, y: string, cosines: string, sines: string): readonly string[] {
  return [site.sub(site.mul(x, cosines), site.mul(y, sines)), site.add(site.mul(y, cosines), site.mul(x, sines))]
}
