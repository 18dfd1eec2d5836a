/**
 * Blocks [from, to) as a stand-alone ONNX graph for one session: ordinary inputs and outputs that chain by name, so
 * that any runtime with ONNX Runtime's operators generates with it (docs/split.md).
 *
 * In: `input_ids` int64 [rows], or `hidden.<from>` [rows, width] in the boundary's type; for each decoder block b
 * `past.key.<b>` and `past.value.<b>`, float32 [1, kv heads, past, head dim], of no rows in a session's first run.
 * Out: `hidden.<to>`, or `logits` float32 [rows, vocabulary]; and `present.key.<b>`, `present.value.<b>`
 * [1, kv heads, total, head dim]: past and new rows, the next run's past.
 */
import type { Dim, ElementType, GraphBuilder, StoredTensor } from '../../onnx/index.ts'
import type { BoundaryType, DecoderShape } from '../manifest.ts'
import { kernelHeadDim } from './head-width.ts'
import { headLogits } from './head.ts'
import type { PackedHead } from './head.ts'
import { decoderLayer, groupedAttention } from './layer.ts'
import type { PackedLayer, RotaryTables } from './layer.ts'
import { fromBoundary, roundBoundary } from './nodes.ts'

export interface PartitionInit {
  readonly shape: DecoderShape
  readonly boundary: BoundaryType
  /** Number of the first block; 0 is the embedding. */
  readonly from: number
  readonly to: number
  /** [vocabulary, width] in the boundary's type; null unless block 0 is in the range. */
  readonly embedding: StoredTensor | null
  /** Of the decoder blocks in the range, in order. */
  readonly layers: readonly PackedLayer[]
  /** One position longer than the context: the row that stands beside a single one is rotated too. */
  readonly rotary: RotaryTables | null
  readonly head: PackedHead | null
}

/** An input or output; a named dimension is free. */
export interface PartitionValue {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly Dim[]
}

export interface PartitionValues {
  readonly inputs: readonly PartitionValue[]
  readonly outputs: readonly PartitionValue[]
}

/** What is computed once in a partition from how many rows there are. */
interface Rows {
  /** int64 [1]: rows that were given. */
  readonly given: string
  /** int64 [1]: rows that are computed. */
  readonly computed: string
  /** int64 [computed]: which given row each computed one is. */
  readonly index: string
}

/** Adds the nodes of a partition to an empty graph; says what goes in and comes out, in the graph's order. */
export function partitionGraph(graph: GraphBuilder, init: PartitionInit): PartitionValues {
  const { shape, boundary, from, to } = init
  const values = partitionValues(init)
  for (const { name, type, shape: dims } of values.inputs) graph.input(name, type, dims)
  const source = values.inputs[0]!.name
  const target = values.outputs[0]!.name
  if (init.layers.length === 0 && init.head === null) {
    graph.node('Gather', [graph.stored('embedding', init.embedding!), source], { axis: 0 }, { outputs: [target] })
  } else {
    const rows = rowsOf(graph, source)
    let residual = graph.node('Gather', [source, rows.index], { axis: 0 })
    if (from === 0) residual = graph.node('Gather', [graph.stored('embedding', init.embedding!), residual], { axis: 0 })
    residual = fromBoundary(graph, residual, boundary)
    const first = Math.max(from, 1)
    const attend = init.layers.length === 0 ? null : attention(graph, init, rows, first)
    for (const [index, weights] of init.layers.entries()) {
      const block = first + index
      residual = decoderLayer(graph, shape, `block.${block}`, weights, residual, (qkv) => attend!(block, qkv))
      if (block < to - 1) residual = roundBoundary(graph, residual, boundary)
    }
    const last =
      init.head === null ? toBoundary(graph, residual, boundary) : headLogits(graph, shape, init.head, residual)
    graph.node('Slice', [last, graph.int64s([0]), rows.given, graph.int64s([0])], {}, { outputs: [target] })
  }
  for (const { name, type, shape: dims } of values.outputs) graph.output(name, type, dims)
  return values
}

function toBoundary(graph: GraphBuilder, x: string, boundary: BoundaryType): string {
  return boundary === 'f16' ? graph.node('Cast', [x], { to: 10 }) : x
}

/** The inputs and outputs of a partition, the boundary first. */
export function partitionValues(init: Pick<PartitionInit, 'shape' | 'boundary' | 'from' | 'to'>): PartitionValues {
  const { shape, boundary, from, to } = init
  const blocks = shape.layers + 2
  const boundaryAt = (block: number): PartitionValue => ({
    name: `hidden.${block}`,
    type: boundary,
    shape: ['rows', shape.width],
  })
  const caches = (time: 'past' | 'present', length: string): PartitionValue[] =>
    decoderBlocks(from, to, blocks).flatMap((block) =>
      (['key', 'value'] as const).map((kind) => ({
        name: `${time}.${kind}.${block}`,
        type: 'f32' as const,
        shape: [1, shape.kv_heads, length, kernelHeadDim(shape)],
      })),
    )
  const source: PartitionValue = from === 0 ? { name: 'input_ids', type: 'i64', shape: ['rows'] } : boundaryAt(from)
  const target: PartitionValue =
    to === blocks ? { name: 'logits', type: 'f32', shape: ['rows', shape.vocabulary] } : boundaryAt(to)
  return { inputs: [source, ...caches('past', 'past')], outputs: [target, ...caches('present', 'total')] }
}

function decoderBlocks(from: number, to: number, blocks: number): number[] {
  const first = Math.max(from, 1)
  return Array.from({ length: Math.max(0, Math.min(to, blocks - 1) - first) }, (_, index) => first + index)
}

/**
 * A row alone takes another path in some kernels: it is computed twice, and dropped again at the end, so that a row's
 * bits are the same in runs of any size (DESIGN decision 3).
 */
function rowsOf(graph: GraphBuilder, source: string): Rows {
  const scalar = (name: string, value: number): string =>
    graph.constant(name, 'i64', [], BigInt64Array.of(BigInt(value)))
  const given = graph.node('Shape', [source], { start: 0, end: 1 })
  const computed = graph.node('Max', [given, graph.int64s([2])])
  const range = graph.node('Range', [scalar('zero', 0), graph.node('Squeeze', [computed]), scalar('one', 1)])
  const index = graph.node('Min', [range, graph.node('Sub', [given, graph.int64s([1])])])
  return { given, computed, index }
}

/** What every layer's attention shares: how long the past is, and where the rows end. */
function attention(
  graph: GraphBuilder,
  init: PartitionInit,
  rows: Rows,
  first: number,
): (block: number, qkv: string) => string {
  const { shape } = init
  const past = graph.node('Shape', [`past.key.${first}`], { start: 2, end: 3 })
  const end = graph.node('Add', [past, rows.given])
  const total = graph.node('Cast', [graph.node('Add', [past, rows.computed])], { to: 6 })
  const one = graph.constant('i32[1]', 'i32', [1], Int32Array.of(1))
  const last = graph.node('Sub', [total, one])
  const totalScalar = graph.node('Squeeze', [total])
  return (block, qkv) => {
    const present = groupedAttention(graph, shape, block - 1, init.rotary!, {
      qkv: graph.node('Unsqueeze', [qkv, graph.int64s([0])]),
      pastKeys: `past.key.${block}`,
      pastValues: `past.value.${block}`,
      last,
      total: totalScalar,
    })
    for (const kind of ['key', 'value'] as const) {
      const cache = kind === 'key' ? present.keys : present.values
      const name = `present.${kind}.${block}`
      graph.node('Slice', [cache, graph.int64s([0]), end, graph.int64s([2])], {}, { outputs: [name] })
    }
    return graph.node('Reshape', [present.attended, graph.int64s([-1, shape.heads * kernelHeadDim(shape)])])
  }
}
