/**
 * Attention, ONNX's own (opset 23) and Microsoft's. B batch, S new tokens, P past ones, T = P + S; H heads, K heads of
 * keys and values, D width of a head.
 */
import type { Dimension, Shape } from '../../ir/index.ts'
import { tensor, unknownDimensions } from '../call.ts'
import type { Call, Rule } from '../call.ts'
import { MICROSOFT } from '../registry.ts'
import type { Family } from '../registry.ts'

/** Inputs Q, K, V in 3 (tokens by all heads) or 4 dimensions; outputs Y, present K and V, the scores. */
const attention: Rule = (call) => {
  const { algebra } = call
  const [query, key, value] = [headed(call, 0), headed(call, 1), headed(call, 2)]
  const type = call.type(0)
  const [keys, values] = [call.type(4) ?? call.type(1), call.type(5) ?? call.type(2)]
  if (query === null || key === null || value === null)
    return [
      tensor(type, null),
      tensor(keys, unknownDimensions(4)),
      tensor(values, unknownDimensions(4)),
      tensor(type, unknownDimensions(4)),
    ]
  const total = (past: number, size: Dimension): Dimension =>
    call.given(past) ? algebra.add(call.dimension(past, 2), size) : size
  const [batch, heads, tokens] = query.sizes as readonly [Dimension, Dimension, Dimension]
  const width = value.sizes[3]!
  const output = query.flat ? [batch, tokens, algebra.multiply(heads, width)] : [batch, heads, tokens, width]
  const present = (side: Headed, past: number): Shape => {
    const [rows, own, length, size] = side.sizes as readonly [Dimension, Dimension, Dimension, Dimension]
    return [rows, own, total(past, length), size]
  }
  const scores = [batch, heads, tokens, total(4, key.sizes[2]!)]
  return [tensor(type, output), tensor(keys, present(key, 4)), tensor(values, present(value, 5)), tensor(type, scores)]
}

interface Headed {
  /** B, heads, tokens, width. */
  readonly sizes: readonly Dimension[]
  readonly flat: boolean
}

function headed(call: Call, input: number): Headed | null {
  const shape = call.shape(input)
  if (shape?.length === 4) return { sizes: shape, flat: false }
  if (shape?.length !== 3) return null
  const heads = call.int(input === 0 ? 'q_num_heads' : 'kv_num_heads') ?? null
  return { sizes: [shape[0]!, heads, shape[1]!, call.algebra.floorDivide(shape[2]!, heads)], flat: true }
}

/** Microsoft's first: one matrix makes Q, K and V. Past and present: [2, B, H, tokens, D]. */
const fusedAttention: Rule = (call) => {
  const { algebra } = call
  const data = call.shapeOfRank(0, 3)
  const hidden = call.ints('qkv_hidden_sizes')?.[2] ?? algebra.floorDivide(call.dimension(1, 1), 3)
  const heads = call.int('num_heads') ?? null
  const output = [data?.[0] ?? null, data?.[1] ?? null, hidden]
  const shared = call.int('past_present_share_buffer', 0) === 1
  const past = call.given(4) ? call.dimension(4, 3) : 0
  const tokens = shared ? past : algebra.add(past, output[1]!)
  return [
    tensor(call.type(0), output),
    tensor(call.type(4) ?? call.type(0), [2, output[0]!, heads, tokens, algebra.floorDivide(hidden, heads)]),
  ]
}

/** The same with weights in 8 bits: (input, weight, bias, scales, mask, zero points, past). */
const quantizedAttention: Rule = (call) => {
  const { algebra } = call
  const data = call.shapeOfRank(0, 3)
  const hidden = algebra.floorDivide(call.dimension(1, 1), 3)
  const heads = call.int('num_heads') ?? null
  const past = call.given(8) ? call.dimension(8, 3) : 0
  const tokens = algebra.add(past, data?.[1] ?? null)
  return [
    tensor(call.type(3), [data?.[0] ?? null, data?.[1] ?? null, hidden]),
    tensor(call.type(3), [2, data?.[0] ?? null, heads, tokens, algebra.floorDivide(hidden, heads)]),
  ]
}

/**
 * Q [B,S,H*D] or all packed [B,S,H,3,D]; K and V [B,T,H*D], [B,H,T,D], packed [B,T,H,2,D] or left out; past K and V
 * [B,H,P,D] at inputs 6 and 7.
 */
const multiHeadAttention: Rule = (call) => {
  const { algebra } = call
  const [query, key, value] = [call.shape(0), call.shape(1), call.shape(2)]
  const type = call.type(0)
  if (query === null || (query.length !== 3 && query.length !== 5)) return [tensor(type, null)]
  const heads = call.int('num_heads') ?? null
  const packed = query.length === 5
  const width = packed ? query[4]! : algebra.floorDivide(query[2]!, heads)
  const hidden = packed ? algebra.multiply(query[2]!, query[4]!) : query[2]!
  const valueWidth = !call.given(2)
    ? width
    : value?.length === 4
      ? value[3]!
      : algebra.floorDivide(value?.[2] ?? null, heads)
  const output = call.given(2) ? algebra.multiply(heads, valueWidth) : hidden
  const given = packed ? query[1]! : key?.length === 4 ? key[2]! : (key?.[1] ?? null)
  const present = (past: number, size: Dimension): Shape => {
    const length = call.given(past) ? algebra.add(call.dimension(past, 2), given) : given
    return [query[0]!, heads, call.given(past) && key?.length === 4 ? null : length, size]
  }
  return [
    tensor(type, [query[0]!, query[1]!, output]),
    tensor(type, present(6, width)),
    tensor(type, present(7, valueWidth)),
  ]
}

/** Q [B,S,H*D] or packed [B,S,(H+2K)*D]; past and present K and V [B,K,tokens,D], which may be one buffer. */
const groupQueryAttention: Rule = (call) => {
  const { algebra } = call
  const query = call.shapeOfRank(0, 3)
  const heads = call.int('num_heads') ?? null
  const groups = call.int('kv_num_heads') ?? null
  const [batch, tokens, hidden] = query ?? [null, null, null]
  const packed = !call.given(1)
  const all = packed ? algebra.add(heads, algebra.multiply(groups, 2)) : heads
  const width = algebra.floorDivide(hidden!, all)
  const total = call.scalar(6) ?? null
  const pastLength = call.given(3) ? call.dimension(3, 2) : 0
  const length = total === null ? null : algebra.max(pastLength, total)
  const cache: Shape = [batch!, groups, length, width]
  const type = call.type(0)
  return [
    tensor(type, [batch!, tokens!, packed ? algebra.multiply(heads, width) : hidden!]),
    tensor(call.type(3) ?? type, call.given(3) ? [batch!, groups, length, call.dimension(3, 3)] : cache),
    tensor(call.type(4) ?? type, call.given(4) ? [batch!, groups, length, call.dimension(4, 3)] : cache),
  ]
}

/** Opset 27: Q [B,S,H*D], K [B,S,K*D], V [B,S,K*Dv], a state [B,K,D,Dv] in place of the past. */
const linearAttention: Rule = (call) => {
  const { algebra } = call
  const query = call.shapeOfRank(0, 3)
  const [heads, groups] = [call.int('q_num_heads') ?? null, call.int('kv_num_heads') ?? null]
  const [batch, tokens] = [query?.[0] ?? null, query?.[1] ?? null]
  const width = algebra.floorDivide(call.dimension(1, 2), groups)
  const valueWidth = algebra.floorDivide(call.dimension(2, 2), groups)
  return [
    tensor(call.type(0), [batch, tokens, algebra.multiply(heads, valueWidth)]),
    tensor(call.given(3) ? call.type(3) : call.type(0), [batch, groups, width, valueWidth]),
  ]
}

/** Rotation in place of pairs: like the input. */
const like: Rule = (call) => [call.value(0)]

export const ATTENTION: readonly Family[] = [
  { operators: 'Attention', rule: attention },
  { operators: 'LinearAttention', rule: linearAttention },
  { operators: 'RotaryEmbedding', rule: like },
  { domain: MICROSOFT, operators: 'RotaryEmbedding', rule: like },
  { domain: MICROSOFT, operators: 'Attention', rule: fusedAttention },
  { domain: MICROSOFT, operators: 'QAttention', rule: quantizedAttention },
  { domain: MICROSOFT, operators: 'MultiHeadAttention', rule: multiHeadAttention },
  { domain: MICROSOFT, operators: 'GroupQueryAttention', rule: groupQueryAttention },
]
