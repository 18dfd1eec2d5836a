/** One decoder layer as nodes: what stages and exported partitions have in common. */
import { MICROSOFT } from '../../onnx/index.ts'
import type { GraphBuilder, StoredTensor } from '../../onnx/index.ts'
import type { DecoderShape } from '../manifest.ts'
import { kernelHeadDim } from './head-width.ts'
import type { Adapt } from './adapted/adapter-parts.ts'
import { geluTanh, matmul, norm, silu, skipNorm } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

export interface PackedLayer {
  readonly attentionNorm: StoredTensor
  readonly attentionNormBias?: StoredTensor
  /** One packed [q, k, v], or the three apart where their forms differ. */
  readonly qkv: readonly PackedMatrix[]
  /** [head dim] */
  readonly queryNorm?: StoredTensor
  readonly keyNorm?: StoredTensor
  readonly output: PackedMatrix
  readonly postAttentionNorm?: StoredTensor
  readonly feedForwardNorm: StoredTensor
  readonly feedForwardNormBias?: StoredTensor
  readonly gate: PackedMatrix
  readonly up: PackedMatrix
  readonly down: PackedMatrix
  readonly postFeedForwardNorm?: StoredTensor
}

export interface Rotary {
  /** [positions, head dim / 2], float32. */
  readonly cos: StoredTensor
  readonly sin: StoredTensor
}

/** The tables of a model; `window` where layers with a window have a base of their own. */
export interface RotaryTables {
  readonly full: Rotary
  readonly window?: Rotary
}

/**
 * The residual after a layer, [rows, width] float32, not yet rounded to the boundary's type.
 * @param attend from packed q, k, v [rows, (heads + 2 kv heads) head dim] to what attention gives, [rows, heads head dim]
 * @param adapt what adapters make of the outputs of matrices. @default nothing
 */
export function decoderLayer(
  graph: GraphBuilder,
  shape: DecoderShape,
  name: string,
  weights: PackedLayer,
  residual: string,
  attend: (qkv: string) => string,
  adapt: Adapt = (_place, _input, output) => output,
): string {
  const epsilon = shape.norm_epsilon
  const before = { weight: weights.attentionNorm, bias: weights.attentionNormBias }
  const normed = norm(graph, `${name}.attention`, residual, before, epsilon)
  const parts = weights.qkv.map((matrix, index) => matmul(graph, `${name}.qkv.${index}`, normed, matrix))
  const qkv = parts.length === 1 ? parts[0]! : graph.node('Concat', parts, { axis: -1 })
  const attended = attend(normedHeads(graph, shape, name, weights, adapt('qkv', normed, qkv)))
  const output = adapt('o', attended, matmul(graph, `${name}.output`, attended, weights.output))
  const projected = normedAfter(graph, shape, `${name}.attended`, weights.postAttentionNorm, output)
  const between = { weight: weights.feedForwardNorm, bias: weights.feedForwardNormBias }
  const [normed2, sum] = skipNorm(graph, `${name}.feed`, projected, residual, between, epsilon)
  const activate = shape.activation === 'gelu_tanh' ? geluTanh : silu
  const gate = activate(graph, adapt('gate', normed2, matmul(graph, `${name}.gate`, normed2, weights.gate)))
  const up = adapt('up', normed2, matmul(graph, `${name}.up`, normed2, weights.up))
  const hidden = graph.node('Mul', [gate, up])
  const down = adapt('down', hidden, matmul(graph, `${name}.down`, hidden, weights.down))
  return graph.node('Add', [normedAfter(graph, shape, `${name}.fed`, weights.postFeedForwardNorm, down), sum])
}

/** What is to be added to the residual, through a norm of its own where the model has one. */
function normedAfter(
  graph: GraphBuilder,
  shape: DecoderShape,
  name: string,
  weight: StoredTensor | undefined,
  x: string,
): string {
  return weight === undefined ? x : norm(graph, name, x, { weight }, shape.norm_epsilon)
}

/** Each head of q and k through its RMS norm, where the model has them. */
function normedHeads(
  graph: GraphBuilder,
  shape: DecoderShape,
  name: string,
  { queryNorm, keyNorm }: PackedLayer,
  qkv: string,
): string {
  if (queryNorm === undefined || keyNorm === undefined) return qkv
  const { heads, kv_heads, head_dim, norm_epsilon } = shape
  const [all, wide] = [heads + 2 * kv_heads, kernelHeadDim(shape)]
  // 0 keeps the name of the rows' dimension: after a -1 the engine shares no buffers (decoder.ts, attention).
  const shaped = graph.node('Reshape', [qkv, graph.int64s([0, all, wide])])
  const [q, k, v] = [graph.value('q'), graph.value('k'), graph.value('v')]
  const sizes = graph.int64s([heads, kv_heads, kv_heads])
  graph.node('Split', [shaped, sizes], { axis: 1 }, { outputs: [q, k, v] })
  // The zeros behind a padded head make its mean square smaller by as much; the weights are (pack-block.ts).
  const epsilon = norm_epsilon * (head_dim / wide)
  const normed = [
    norm(graph, `${name}.query`, q, { weight: queryNorm }, epsilon),
    norm(graph, `${name}.key`, k, { weight: keyNorm }, epsilon),
    v,
  ]
  return graph.node('Reshape', [graph.node('Concat', normed, { axis: 1 }), graph.int64s([0, all * wide])])
}

export interface AttentionInputs {
  /** [1, rows, (heads + 2 kv heads) head dim] */
  readonly qkv: string
  /** [1, kv heads, capacity, head dim] */
  readonly pastKeys: string
  readonly pastValues: string
  /** int32 [1]: position of the last row. */
  readonly last: string
  /** int32 []: past and new rows together. */
  readonly total: string
  /** int64 [1, rows]: rows of the rotary tables. @default the positions */
  readonly places?: string
}

export interface AttentionOutputs {
  /** [1, rows, heads head dim] */
  readonly attended: string
  /** [1, kv heads, at least total, head dim] */
  readonly keys: string
  readonly values: string
}

/**
 * One session's attention over its own past and its new rows, rotated by their positions.
 * @param layer number of the layer in the model, from 0
 */
export function groupedAttention(
  graph: GraphBuilder,
  shape: DecoderShape,
  layer: number,
  rotary: RotaryTables,
  inputs: AttentionInputs,
): AttentionOutputs {
  const [keys, values] = [graph.value('present.k'), graph.value('present.v')]
  const attended = graph.value('attended')
  const window = shape.window?.layers.includes(layer) === true ? shape.window.size : null
  const tables = shape.unrotated_layers?.includes(layer) === true ? [] : rotaryInputs(graph, rotary, window !== null)
  const places = inputs.places === undefined || tables.length === 0 ? [] : [inputs.places]
  graph.node(
    'GroupQueryAttention',
    [inputs.qkv, '', '', inputs.pastKeys, inputs.pastValues, inputs.last, inputs.total, ...tables, ...places],
    {
      num_heads: shape.heads,
      kv_num_heads: shape.kv_heads,
      do_rotary: tables.length > 0 ? 1 : 0,
      scale: { float: shape.attention_scale ?? 1 / Math.sqrt(shape.head_dim) },
      // Halves become adjacent pairs when the weights are packed (head-width.ts).
      rotary_interleaved: 1,
      ...(window === null ? {} : { local_window_size: window }),
      ...(shape.attention_softcap === undefined ? {} : { softcap: { float: shape.attention_softcap } }),
    },
    { domain: MICROSOFT, outputs: [attended, keys, values] },
  )
  return { attended, keys, values }
}

function rotaryInputs(graph: GraphBuilder, rotary: RotaryTables, windowed: boolean): string[] {
  const own = windowed ? rotary.window : undefined
  const name = own === undefined ? 'rotary' : 'rotary.window'
  const { cos, sin } = own ?? rotary.full
  return [graph.stored(`${name}.cos`, cos), graph.stored(`${name}.sin`, sin)]
}
