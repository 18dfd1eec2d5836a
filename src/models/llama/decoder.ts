/**
 * Decoder layers [from, to) as one graph for a number of session slots. All rows of all sessions share the matrix
 * products; attention is one GroupQueryAttention a slot, because a row's bits must not depend on its company.
 *
 * Inputs: `x` [rows, width]; a slot s: `past.s` int32 [1] (position of its last row), `total.s` int32 [] (past + its
 * rows), `rows.s` int64 [1, its rows] (which rows of x are the slot's; a single one is named twice), and `k.l.s`,
 * `v.l.s` [1, kv heads, capacity, head dim] of layer l; `back` int64 [rows] (where each row of x stands in the slots'
 * rows, one after another).
 * With adapters also what stacked.ts names; where longer texts have rotary factors of their own, `places.s` int64 [1, its rows]
 * (rows of the rotary tables).
 * Outputs: `y` [rows, width], and the new rows `nk.l.s`, `nv.l.s` [1, kv heads, slot's rows, head dim].
 */
import { GraphBuilder } from '../../onnx/index.ts'
import type { BoundaryType, DecoderShape } from '../manifest.ts'
import type { AdaptedPart } from './adapted/adapter-parts.ts'
import { ADAPTER_MASK, stackedAdapters } from './adapted/stacked.ts'
import { kernelHeadDim } from './head-width.ts'
import { decoderLayer, groupedAttention } from './layer.ts'
import type { PackedLayer, RotaryTables } from './layer.ts'
import { fromBoundary, roundBoundary } from './nodes.ts'

export interface DecoderInit {
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
  /** Number of the first layer in the model, from 0. */
  readonly first: number
  readonly layers: readonly PackedLayer[]
  readonly rotary: RotaryTables
  readonly slots: number
  /** Matrices that adapters of sessions stand beside. @default none */
  readonly adapted?: readonly AdaptedPart[]
}

export function decoderGraph(init: DecoderInit): Uint8Array {
  const { shape, boundary, adapted = [] } = init
  const graph = new GraphBuilder()
  let residual = fromBoundary(graph, graph.input('x', boundary, ['rows', shape.width]), boundary)
  slotInputs(graph, init)
  if (adapted.length > 0) graph.input(ADAPTER_MASK, 'bool', ['slices', 'rows', 1])
  const news: NewRows[] = []
  for (const [layer, weights] of init.layers.entries()) {
    const attend = (qkv: string): string => attention(graph, init, layer, qkv, news)
    const adapt = adapted.length === 0 ? undefined : stackedAdapters(graph, shape, layer, adapted)
    residual = decoderLayer(graph, shape, `layer.${layer}`, weights, residual, attend, adapt)
    if (layer < init.layers.length - 1) residual = roundBoundary(graph, residual, boundary)
  }
  graph.node(boundary === 'f16' ? 'Cast' : 'Identity', [residual], boundary === 'f16' ? { to: 10 } : {}, {
    outputs: ['y'],
  })
  graph.output('y', boundary, ['rows', shape.width])
  return graph.finish('decoder')
}

function slotInputs(graph: GraphBuilder, { shape, slots }: DecoderInit): void {
  for (let slot = 0; slot < slots; slot++) {
    graph.input(`past.${slot}`, 'i32', [1])
    graph.input(`total.${slot}`, 'i32', [])
    graph.input(`rows.${slot}`, 'i64', [1, `rows.${slot}`])
    if (shape.rope_long !== undefined) graph.input(`places.${slot}`, 'i64', [1, `rows.${slot}`])
  }
  graph.input('back', 'i64', ['rows'])
}

/** Where a slot's new rows stand in the present cache: int64 [1] each, the same in all layers. */
interface NewRows {
  readonly start: string
  readonly end: string
}

function attention(graph: GraphBuilder, init: DecoderInit, layer: number, qkv: string, news: NewRows[]): string {
  const { slots } = init
  const outputs: string[] = []
  for (let slot = 0; slot < slots; slot++) {
    const batched = graph.node('Gather', [qkv, `rows.${slot}`], { axis: 0 })
    const place = (news[slot] ??= newRows(graph, slot, batched))
    const attended = slotAttention(graph, init, layer, slot, batched, place)
    // Not a Reshape to [-1, width]: the engine would no longer know that there are `rows` rows, share no buffers from
    // here on, and take a time to load that grows with the square of the layers.
    outputs.push(graph.node('Squeeze', [attended, graph.int64s([0])]))
  }
  const all = slots === 1 ? outputs[0]! : graph.node('Concat', outputs, { axis: 0 })
  return graph.node('Gather', [all, 'back'], { axis: 0 })
}

/** One session's attention over its own past; only the new rows of K and V leave the graph. */
function slotAttention(
  graph: GraphBuilder,
  init: DecoderInit,
  layer: number,
  slot: number,
  qkv: string,
  { start, end }: NewRows,
): string {
  const { shape, rotary } = init
  const cache = [1, shape.kv_heads, `capacity.${slot}`, kernelHeadDim(shape)]
  const present = groupedAttention(graph, shape, init.first + layer, rotary, {
    qkv,
    pastKeys: graph.input(`k.${layer}.${slot}`, 'f32', cache),
    pastValues: graph.input(`v.${layer}.${slot}`, 'f32', cache),
    last: `past.${slot}`,
    total: `total.${slot}`,
    ...(shape.rope_long === undefined ? {} : { places: `places.${slot}` }),
  })
  for (const kind of ['k', 'v'] as const) {
    const output = `n${kind}.${layer}.${slot}`
    const rows = kind === 'k' ? present.keys : present.values
    graph.node('Slice', [rows, start, end, graph.int64s([2])], {}, { outputs: [output] })
    graph.output(output, 'f32', [1, shape.kv_heads, `new.${slot}`, kernelHeadDim(shape)])
  }
  return present.attended
}

/** The rows [total - rows, total), counted in the first layer: one node more in each layer costs every run. */
function newRows(graph: GraphBuilder, slot: number, qkv: string): NewRows {
  const end = graph.node('Unsqueeze', [graph.node('Cast', [`total.${slot}`], { to: 7 }), graph.int64s([0])])
  const count = graph.node('Gather', [graph.node('Shape', [qkv]), graph.int64s([1])], { axis: 0 })
  return { start: graph.node('Sub', [end, count]), end }
}
