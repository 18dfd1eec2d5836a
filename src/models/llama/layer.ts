/** One decoder layer as nodes: what stages and exported partitions have in common. */
import { MICROSOFT } from '../../onnx/index.ts'
import type { GraphBuilder, StoredTensor } from '../../onnx/index.ts'
import type { LlamaShape } from '../manifest.ts'
import { matmul, rmsNorm, silu, skipNorm } from './nodes.ts'
import type { PackedMatrix } from './pack.ts'

export interface PackedLayer {
  readonly attentionNorm: StoredTensor
  /** One packed [q, k, v], or the three apart where their forms differ. */
  readonly qkv: readonly PackedMatrix[]
  readonly output: PackedMatrix
  readonly feedForwardNorm: StoredTensor
  readonly gate: PackedMatrix
  readonly up: PackedMatrix
  readonly down: PackedMatrix
}

export interface Rotary {
  /** [positions, rotated / 2], float32. */
  readonly cos: StoredTensor
  readonly sin: StoredTensor
}

/**
 * The residual after a layer, [rows, width] float32, not yet rounded to the boundary's type.
 * @param attend from packed q, k, v [rows, (heads + 2 kv heads) head dim] to what attention gives, [rows, heads head dim]
 */
export function decoderLayer(
  graph: GraphBuilder,
  shape: LlamaShape,
  name: string,
  weights: PackedLayer,
  residual: string,
  attend: (qkv: string) => string,
): string {
  const normed = rmsNorm(graph, `${name}.attention`, residual, weights.attentionNorm, shape.norm_epsilon)
  const parts = weights.qkv.map((matrix, index) => matmul(graph, `${name}.qkv.${index}`, normed, matrix))
  const qkv = parts.length === 1 ? parts[0]! : graph.node('Concat', parts, { axis: -1 })
  const projected = matmul(graph, `${name}.output`, attend(qkv), weights.output)
  const [normed2, sum] = skipNorm(
    graph,
    `${name}.feed`,
    projected,
    residual,
    weights.feedForwardNorm,
    shape.norm_epsilon,
  )
  const gate = silu(graph, matmul(graph, `${name}.gate`, normed2, weights.gate))
  const up = matmul(graph, `${name}.up`, normed2, weights.up)
  const hidden = graph.node('Mul', [gate, up])
  const down = matmul(graph, `${name}.down`, hidden, weights.down)
  return graph.node('Add', [down, sum])
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
}

export interface AttentionOutputs {
  /** [1, rows, heads head dim] */
  readonly attended: string
  /** [1, kv heads, at least total, head dim] */
  readonly keys: string
  readonly values: string
}

/** One session's attention over its own past and its new rows, rotated by their positions. */
export function groupedAttention(
  graph: GraphBuilder,
  shape: LlamaShape,
  rotary: Rotary,
  inputs: AttentionInputs,
): AttentionOutputs {
  const [keys, values] = [graph.value('present.k'), graph.value('present.v')]
  const attended = graph.value('attended')
  graph.node(
    'GroupQueryAttention',
    [
      inputs.qkv,
      '',
      '',
      inputs.pastKeys,
      inputs.pastValues,
      inputs.last,
      inputs.total,
      graph.stored('rotary.cos', rotary.cos),
      graph.stored('rotary.sin', rotary.sin),
    ],
    {
      num_heads: shape.heads,
      kv_num_heads: shape.kv_heads,
      do_rotary: 1,
      scale: { float: 1 / Math.sqrt(shape.head_dim) },
      rotary_interleaved: shape.rope_interleaved ? 1 : 0,
    },
    { domain: MICROSOFT, outputs: [attended, keys, values] },
  )
  return { attended, keys, values }
}
