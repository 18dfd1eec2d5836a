/** Operators of attention, ONNX's own and the engine's, written out. */
import type { Rewrite, RewriteSite } from '../rewrite.ts'
import { attend, causal, joinHeads, positionsFrom, rotate, sizeOf, splitHeads } from './heads.ts'

/** Past keys or values [batch, heads, length, size] before the new ones, where there are any. */
function withPast(site: RewriteSite, past: number, present: string): string {
  if (!site.given(past) || site.shape(site.input(past))?.[2] === 0) return present
  return site.op('Concat', [site.input(past), present], { axis: 2 })
}

/** int64 [1] */
function pastLength(site: RewriteSite, past: number): string {
  return site.given(past) ? site.size(site.input(past), 2) : site.int64s([0])
}

/** Known of a width that is a whole number of heads. */
function headSize(site: RewriteSite, name: string, heads: number): number {
  const width = site.shape(name)?.at(-1)
  return typeof width === 'number' ? width / heads : site.refuse('the size of its heads is not known before it runs')
}

/** [rows, rotary / 2] at positions, as [1 or batch, 1, length, rotary / 2]. */
function angles(site: RewriteSite, cache: string, positions: string, isBatched: boolean): string {
  const rows = site.op('Gather', [cache, positions], { axis: 0 })
  return site.unsqueeze(rows, isBatched ? [1] : [0, 1])
}

/** com.microsoft, version 1: causal, grouped, turned by rotary positions where asked for. */
const groupQuery: Rewrite = (site) => {
  const [heads, keyHeads] = [site.int('num_heads', 1), site.int('kv_num_heads', 1)]
  if (site.int('smooth_softmax', 0) !== 0 || site.given(11)) throw site.refusal('it has a sink')
  const isPacked = !site.given(1)
  const size = headSize(site, site.input(0), isPacked ? heads + 2 * keyHeads : heads)
  const parts = isPacked
    ? [
        site.slice(site.input(0), 2, 0, heads * size),
        site.slice(site.input(0), 2, heads * size, (heads + keyHeads) * size),
        site.slice(site.input(0), 2, (heads + keyHeads) * size, (heads + 2 * keyHeads) * size),
      ]
    : [0, 1, 2].map((index) => site.input(index))
  let [query, key, value] = parts.map((part, index) => splitHeads(site, part, index === 0 ? heads : keyHeads)) as [
    string,
    string,
    string,
  ]
  const past = pastLength(site, 3)
  const length = sizeOf(site, query, 2)
  if (site.int('do_rotary', 0) === 1) {
    const half = site.shape(site.input(7))?.[1] ?? null
    const own = site.given(9) ? site.input(9) : positionsFrom(site, past, length)
    const [cosines, sines] = [7, 8].map((cache) => angles(site, site.input(cache), own, site.given(9)))
    const isInterleaved = site.int('rotary_interleaved', 0) === 1
    query = rotate(site, query, cosines!, sines!, half, isInterleaved)
    key = rotate(site, key, cosines!, sines!, half, isInterleaved)
  }
  key = withPast(site, 3, key)
  value = withPast(site, 4, value)
  const keys = sizeOf(site, key, 2)
  const seen = [...causal(site, past, length, keys, site.int('local_window_size', -1)), ...unpadded(site, 5, keys)]
  const result = attend(site, {
    query,
    key,
    value,
    heads,
    keyHeads,
    seen,
    softcap: site.float('softcap', 0),
    ...scaleAndBias(site, 10),
  })
  site.returns(0, joinHeads(site, result))
  site.returns(1, key)
  site.returns(2, value)
}

/** int32 [batch]: the last place that counts. To bool [batch, 1, 1, keys]. */
function unpadded(site: RewriteSite, input: number, keys: string): readonly string[] {
  if (!site.given(input)) return []
  const last = site.op('Reshape', [site.op('Cast', [site.input(input)], { to: 7 }), site.int64s([-1, 1, 1, 1])])
  return [site.op('LessOrEqual', [positionsFrom(site, site.int64s([0]), keys), last])]
}

/**
 * com.microsoft, version 1: queries, keys and values [batch, length, heads * size]; keys may be in heads already. Where keys
 * and values are left out they are in the first input, [batch, length, heads, 3, size], and where values alone are, they are
 * with the keys, [batch, length, heads, 2, size]. The engine has no kernel of the packed forms on a CPU.
 */
const multiHead: Rewrite = (site) => {
  const heads = site.int('num_heads', 1)
  const width = site.given(3) ? queryWidth(site) : 0
  const biased = (index: number): string => {
    const input = unpacked(site, index)
    if (!site.given(3)) return input
    const end = index === 2 ? 2 ** 31 : (index + 1) * width
    return site.add(input, site.slice(site.input(3), 0, index * width, end))
  }
  const inHeads = (index: number): string =>
    site.given(index) && site.rank(site.input(index)) === 4 ? site.input(index) : splitHeads(site, biased(index), heads)
  const query = inHeads(0)
  const [key, value] = [withPast(site, 6, inHeads(1)), withPast(site, 7, inHeads(2))]
  const [length, keys] = [sizeOf(site, query, 2), sizeOf(site, key, 2)]
  const seen = site.int('unidirectional', 0) === 1 ? causal(site, pastLength(site, 6), length, keys) : []
  const result = attend(site, {
    query,
    key,
    value,
    heads,
    keyHeads: heads,
    seen: [...seen, ...keyMask(site, 4, keys)],
    ...scaleAndBias(site, 5),
  })
  site.returns(0, joinHeads(site, result))
  site.returns(1, key)
  site.returns(2, value)
}

/** All heads of a query together. */
function queryWidth(site: RewriteSite): number {
  if (site.given(1)) return headSize(site, site.input(0), 1)
  const [, , heads, , size] = site.shape(site.input(0)) ?? []
  if (typeof heads === 'number' && typeof size === 'number') return heads * size
  throw site.refusal('the size of its heads is not known before it runs')
}

/** Query, key or value as [batch, length, heads * size]. */
function unpacked(site: RewriteSite, index: number): string {
  const holder = site.given(index) ? index : index === 2 && site.given(1) ? 1 : 0
  const isAlone = holder === index && !(index === 0 && !site.given(1)) && !(index === 1 && !site.given(2))
  if (isAlone) return site.input(index)
  const part = site.op('Gather', [site.input(holder), site.builder.int64(index - holder)], { axis: 3 })
  return site.op('Reshape', [part, site.int64s([0, 0, -1])])
}

/** Of com.microsoft: a scale of 0 is the usual one; `input` is where the bias comes in. */
function scaleAndBias(site: RewriteSite, input: number): { readonly scale?: number; readonly bias?: string } {
  const scale = site.float('scale', 0)
  return { ...(scale === 0 ? {} : { scale }), ...(site.given(input) ? { bias: site.input(input) } : {}) }
}

/** int32 [batch, keys], 1 for those that are seen; or [batch]: how many are. */
function keyMask(site: RewriteSite, input: number, keys: string): readonly string[] {
  if (!site.given(input)) return []
  const mask = site.input(input)
  const rank = site.needRank(mask)
  const wide = site.op('Cast', [mask], { to: 7 })
  if (rank === 1) {
    const count = site.op('Reshape', [wide, site.int64s([-1, 1, 1, 1])])
    return [site.op('Less', [positionsFrom(site, site.int64s([0]), keys), count])]
  }
  const isSeen = site.op('Greater', [wide, site.builder.int64(0)])
  if (rank === 2) return [site.unsqueeze(isSeen, [1, 2])]
  if (rank === 3) return [site.unsqueeze(isSeen, [1])]
  throw site.refusal(`its mask has ${rank} dimensions`)
}

/** com.microsoft, version 1: with the projection of queries, keys and values in it; a past is both, [2, batch, ...]. */
const projected: Rewrite = (site) => {
  const heads = site.int('num_heads', 1)
  if (site.given(6)) throw site.refusal('its past is in a buffer that it shares')
  const all = site.op('MatMul', [site.input(0), site.input(1)])
  const whole = site.given(2) ? site.add(all, site.input(2)) : all
  const width = site.shape(site.input(1))?.[1]
  if (typeof width !== 'number') throw site.refusal('the size of its weights is not known before it runs')
  const widths = site.ints('qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3]
  let from = 0
  const [query, ...present] = widths.map((own) =>
    splitHeads(site, site.slice(whole, 2, from, (from += own)), heads),
  ) as [string, string, string]
  const pastPart = (index: number): string => site.op('Gather', [site.input(4), site.builder.int64(index)], { axis: 0 })
  const [key, value] = present.map((part, index) =>
    site.given(4) ? site.op('Concat', [pastPart(index), part], { axis: 2 }) : part,
  ) as [string, string]
  const [length, keys] = [sizeOf(site, query, 2), sizeOf(site, key, 2)]
  const past = site.sub(keys, length)
  const seen = site.int('unidirectional', 0) === 1 ? causal(site, past, length, keys) : []
  const result = attend(site, {
    query,
    key,
    value,
    heads,
    keyHeads: heads,
    seen: [...seen, ...keyMask(site, 3, keys)],
    ...scaleAndBias(site, 5),
  })
  site.returns(0, joinHeads(site, result))
  if (site.output(1) !== '') {
    site.returns(
      1,
      site.concat(
        [key, value].map((part) => site.unsqueeze(part, [0])),
        0,
      ),
    )
  }
}

/** ONNX's own, of operator sets 23 and 24. */
const standard: Rewrite = (site) => {
  if (site.output(3) !== '') throw site.refusal('its scores are an output')
  if (site.given(6)) throw site.refusal('it has lengths of keys')
  const isFlat = site.needRank(site.input(0)) === 3
  const headsOf = (index: number, attribute: string): number => {
    const size = isFlat ? site.int(attribute, 1) : site.shape(site.input(index))?.[1]
    return typeof size === 'number' ? size : site.refuse('the number of its heads is not known before it runs')
  }
  const [heads, keyHeads] = [headsOf(0, 'q_num_heads'), headsOf(1, 'kv_num_heads')]
  const inHeads = (index: number): string =>
    isFlat ? splitHeads(site, site.input(index), index === 0 ? heads : keyHeads) : site.input(index)
  const query = inHeads(0)
  const [key, value] = [withPast(site, 4, inHeads(1)), withPast(site, 5, inHeads(2))]
  const isCausal = site.int('is_causal', 0) === 1
  const seen = isCausal ? causal(site, pastLength(site, 4), sizeOf(site, query, 2), sizeOf(site, key, 2)) : []
  const mask = site.given(3) ? site.input(3) : undefined
  const isFlag = mask !== undefined && site.type(mask) === 'bool'
  const scale = site.float('scale', 0)
  const result = attend(site, {
    query,
    key,
    value,
    heads,
    keyHeads,
    softcap: site.float('softcap', 0),
    seen: isFlag ? [...seen, mask] : seen,
    ...(mask === undefined || isFlag ? {} : { bias: mask }),
    ...(scale === 0 ? {} : { scale }),
  })
  site.returns(0, isFlat ? joinHeads(site, result) : result)
  site.returns(1, key)
  site.returns(2, value)
}

/** com.microsoft: positions come second. ONNX's own, of set 23: last, and the angles may be given place by place. */
function rotary(order: { readonly positions: number; readonly cosines: number; readonly sines: number }): Rewrite {
  return (site) => {
    const x = site.input(0)
    const isFlat = site.needRank(x) === 3
    const half = site.shape(site.input(order.cosines))?.at(-1) ?? null
    const heads = site.int('num_heads', 0)
    if (isFlat && heads === 0 && typeof half !== 'number') throw site.refusal('it does not say how many heads it has')
    const count = heads === 0 && isFlat ? headSize(site, x, 2 * Number(half)) : heads
    const value = isFlat ? splitHeads(site, x, count) : x
    const caches = [order.cosines, order.sines].map((index) => cacheRows(site, index, order.positions, value))
    const turned = rotate(site, value, caches[0]!, caches[1]!, half, site.int('interleaved', 0) === 1)
    site.returns(0, isFlat ? joinHeads(site, turned) : turned)
  }
}

function cacheRows(site: RewriteSite, cache: number, positions: number, value: string): string {
  const rows = site.input(cache)
  if (!site.given(positions)) return site.unsqueeze(rows, [1])
  const given = site.input(positions)
  if (site.needRank(given) === 1) return angles(site, rows, positionsFrom(site, given, sizeOf(site, value, 2)), false)
  return angles(site, rows, given, true)
}

export const ATTENTION_REWRITES: Readonly<Record<string, Rewrite>> = {
  Attention: standard,
  RotaryEmbedding: rotary({ positions: 3, cosines: 1, sines: 2 }),
  'com.microsoft:Attention': projected,
  'com.microsoft:GroupQueryAttention': groupQuery,
  'com.microsoft:MultiHeadAttention': multiHead,
  'com.microsoft:RotaryEmbedding': rotary({ positions: 1, cosines: 2, sines: 3 }),
}
