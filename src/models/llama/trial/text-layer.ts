/** A decoder layer for texts from their first row on, without a cache: what layers that are measured have in common. */
import type { GraphBuilder, Tensor, WeightSink } from '../../../onnx/index.ts'
import type { DecoderShape } from '../../manifest.ts'
import { kernelHeadDim } from '../head-width.ts'
import { decoderLayer, groupedAttention } from '../layer.ts'
import type { PackedLayer, RotaryTables } from '../layer.ts'
import { packRotary } from '../pack-block.ts'
import { windowRotary } from '../rotary.ts'

export interface TextLayer {
  readonly packed: PackedLayer
  readonly rotary: RotaryTables
  /** Number of the layer in the model, from 0. */
  readonly layer: number
  readonly texts: TextRows
}

export interface TextRows {
  /** Texts in a run, each as long as the others, one behind the other. */
  readonly count: number
  /** Rows of the longest. */
  readonly positions: number
}

/** Input `x` and output `y` [rows, width], float32, and what `textFeeds` has. */
export function textLayer(graph: GraphBuilder, shape: DecoderShape, init: TextLayer): void {
  const { packed, rotary, layer, texts } = init
  const cache = cacheDims(shape, texts)
  const wide = kernelHeadDim(shape)
  const qkvWidth = (shape.heads + 2 * shape.kv_heads) * wide
  const x = graph.input('x', 'f32', ['rows', shape.width])
  const residual = decoderLayer(graph, shape, 'layer', packed, x, (qkv) => {
    const { attended } = groupedAttention(graph, shape, layer, rotary, {
      qkv: graph.node('Reshape', [qkv, graph.int64s([texts.count, -1, qkvWidth])]),
      pastKeys: graph.input('past.k', 'f32', cache),
      pastValues: graph.input('past.v', 'f32', cache),
      last: graph.input('last', 'i32', [texts.count]),
      total: graph.input('total', 'i32', []),
    })
    return graph.node('Reshape', [attended, graph.int64s([-1, shape.heads * wide])])
  })
  graph.node('Identity', [residual], {}, { outputs: ['y'] })
  graph.output('y', 'f32', ['rows', shape.width])
}

/** What a run gets besides `x` and weights; `rows` that each text has. */
export function textFeeds(shape: DecoderShape, texts: TextRows, rows: number): Readonly<Record<string, Tensor>> {
  const dims = cacheDims(shape, texts)
  const past: Tensor = {
    type: 'float32',
    dims,
    data: new Float32Array(dims.reduce((product, size) => product * size, 1)),
  }
  return {
    'past.k': past,
    'past.v': past,
    last: { type: 'int32', dims: [texts.count], data: new Int32Array(texts.count).fill(rows - 1) },
    total: { type: 'int32', dims: [], data: Int32Array.of(rows) },
  }
}

function cacheDims(shape: DecoderShape, { count, positions }: TextRows): readonly number[] {
  return [count, shape.kv_heads, positions, kernelHeadDim(shape)]
}

/** The tables of the first positions alone: of a long context they are most of the work. */
export async function textRotary(shape: DecoderShape, positions: number, weights: WeightSink): Promise<RotaryTables> {
  const window = windowRotary(shape)
  const full = await packRotary(shape, positions, weights)
  if (window === null) return { full }
  return { full, window: await packRotary({ ...window, head_dim: shape.head_dim }, positions, weights) }
}
