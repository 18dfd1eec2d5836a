/**
 * Decoder layers [from, to) as one graph for a number of session slots. All rows of all sessions share the matrix
 * products; attention is one GroupQueryAttention a slot, because a row's bits must not depend on its company.
 *
 * Inputs: `x` [rows, width]; a slot s: `past.s` int32 [1] (position of its last row), `total.s` int32 [] (past + its
 * rows), and `k.l.s`, `v.l.s` [1, kv heads, capacity, head dim] of layer l. With more than one slot also `rows.s`
 * int64 [its rows] (which rows of x are the slot's; a single one is named twice) and `back` int64 [rows] (where each
 * row of x stands in the slots' rows, one after another).
 * Outputs: `y` [rows, width], and the new rows `nk.l.s`, `nv.l.s` [1, kv heads, slot's rows, head dim].
 */
import { GraphBuilder, MICROSOFT } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import type { BoundaryType, LlamaShape } from '../manifest.ts'
import { kernelHeadDim } from './head-width.ts'
import { matmul, rmsNorm, roundBoundary, silu, skipNorm } from './nodes.ts'
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

export interface DecoderInit {
  readonly shape: LlamaShape
  readonly boundary: BoundaryType
  readonly layers: readonly PackedLayer[]
  readonly rotary: Rotary
  readonly slots: number
}

export function decoderGraph(init: DecoderInit): Uint8Array {
  const { shape, boundary, slots } = init
  const graph = new GraphBuilder()
  const wire = boundary === 'f16' ? 'f16' : 'f32'
  let residual = graph.input('x', wire, ['rows', shape.width])
  if (boundary === 'f16') residual = graph.node('Cast', [residual], { to: 1 })
  slotInputs(graph, slots)
  for (const [layer, weights] of init.layers.entries()) {
    residual = decoderLayer(graph, init, layer, weights, residual)
    if (layer < init.layers.length - 1) residual = roundBoundary(graph, residual, boundary)
  }
  graph.node(boundary === 'f16' ? 'Cast' : 'Identity', [residual], boundary === 'f16' ? { to: 10 } : {}, {
    outputs: ['y'],
  })
  graph.output('y', wire, ['rows', shape.width])
  return graph.finish('decoder')
}

function slotInputs(graph: GraphBuilder, slots: number): void {
  for (let slot = 0; slot < slots; slot++) {
    graph.input(`past.${slot}`, 'i32', [1])
    graph.input(`total.${slot}`, 'i32', [])
    if (slots > 1) graph.input(`rows.${slot}`, 'i64', [`rows.${slot}`])
  }
  if (slots > 1) graph.input('back', 'i64', ['rows'])
}

function decoderLayer(
  graph: GraphBuilder,
  init: DecoderInit,
  layer: number,
  weights: PackedLayer,
  residual: string,
): string {
  const { shape } = init
  const name = `layer.${layer}`
  const normed = rmsNorm(graph, `${name}.attention`, residual, weights.attentionNorm, shape.norm_epsilon)
  const parts = weights.qkv.map((matrix, index) => matmul(graph, `${name}.qkv.${index}`, normed, matrix))
  const qkv = parts.length === 1 ? parts[0]! : graph.node('Concat', parts, { axis: -1 })
  const attended = attention(graph, init, layer, qkv)
  const projected = matmul(graph, `${name}.output`, attended, weights.output)
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

function attention(graph: GraphBuilder, init: DecoderInit, layer: number, qkv: string): string {
  const { shape, slots } = init
  const width = shape.heads * kernelHeadDim(shape)
  const outputs: string[] = []
  for (let slot = 0; slot < slots; slot++) {
    const rows = slots === 1 ? qkv : graph.node('Gather', [qkv, `rows.${slot}`], { axis: 0 })
    const batched = graph.node('Unsqueeze', [rows, graph.int64s([0])])
    const attended = slotAttention(graph, init, layer, slot, batched)
    outputs.push(graph.node('Reshape', [attended, graph.int64s([-1, width])]))
  }
  if (slots === 1) return outputs[0]!
  const all = graph.node('Concat', outputs, { axis: 0 })
  return graph.node('Gather', [all, 'back'], { axis: 0 })
}

/** One session's attention over its own past; only the new rows of K and V leave the graph. */
function slotAttention(graph: GraphBuilder, init: DecoderInit, layer: number, slot: number, qkv: string): string {
  const { shape, rotary } = init
  const cache = [1, shape.kv_heads, `capacity.${slot}`, kernelHeadDim(shape)]
  const past = ['k', 'v'].map((kind) => graph.input(`${kind}.${layer}.${slot}`, 'f32', cache))
  const present = ['k', 'v'].map((kind) => graph.value(`present.${kind}`))
  const attended = graph.value('attended')
  graph.node(
    'GroupQueryAttention',
    [
      qkv,
      '',
      '',
      past[0]!,
      past[1]!,
      `past.${slot}`,
      `total.${slot}`,
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
    { domain: MICROSOFT, outputs: [attended, present[0]!, present[1]!] },
  )
  newRows(graph, init, layer, slot, qkv, present)
  return attended
}

/** The rows [total - rows, total) of the present cache. */
function newRows(
  graph: GraphBuilder,
  init: DecoderInit,
  layer: number,
  slot: number,
  qkv: string,
  present: readonly string[],
): void {
  const { shape } = init
  const end = graph.node('Unsqueeze', [graph.node('Cast', [`total.${slot}`], { to: 7 }), graph.int64s([0])])
  const count = graph.node('Gather', [graph.node('Shape', [qkv]), graph.int64s([1])], { axis: 0 })
  const start = graph.node('Sub', [end, count])
  for (const [index, kind] of ['k', 'v'].entries()) {
    const output = `n${kind}.${layer}.${slot}`
    graph.node('Slice', [present[index]!, start, end, graph.int64s([2])], {}, { outputs: [output] })
    graph.output(output, 'f32', [1, shape.kv_heads, `new.${slot}`, kernelHeadDim(shape)])
  }
}
