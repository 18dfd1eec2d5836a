/** One decoder layer, or a part of the head, as a graph whose weights are fed (trial-graph.ts says how it computes). */
import type { Tensor } from '../../../onnx/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import type { Block, DecoderShape } from '../../manifest.ts'
import { kernelHeadDim } from '../head-width.ts'
import { headLogits } from '../head.ts'
import { decoderLayer, groupedAttention } from '../layer.ts'
import type { RotaryTables } from '../layer.ts'
import { packHead, packLayer, packRotary } from '../pack-block.ts'
import type { RowRange } from '../pack-block.ts'
import { windowRotary } from '../rotary.ts'
import { MemoryWeights } from './memory-weights.ts'
import { TrialGraph } from './trial-graph.ts'

export interface TrialBlock {
  /** Input `x` [rows, width], and what `feeds` has; blocks that differ in their weights alone have the same bytes. */
  readonly graph: Uint8Array
  readonly output: string
  /** What a run gets besides `x`; `rows` that it has. */
  feeds(rows: number): Readonly<Record<string, Tensor>>
}

/**
 * Decoder layer `layer` (from 0), for texts of at most `positions` rows that begin with their first.
 * @param block with the weight format that is to be tried
 */
export async function trialLayer(
  store: BlobStore,
  shape: DecoderShape,
  block: Block,
  layer: number,
  positions: number,
): Promise<TrialBlock> {
  const weights = new MemoryWeights()
  const packed = await packLayer(store, shape, block, weights)
  const rotary = await rotaryTables(shape, positions, weights)
  const graph = new TrialGraph(weights, layer)
  const cache = [1, shape.kv_heads, positions, kernelHeadDim(shape)]
  const residual = decoderLayer(
    graph,
    shape,
    'layer',
    packed,
    graph.input('x', 'f32', ['rows', shape.width]),
    (qkv) => {
      const { attended } = groupedAttention(graph, shape, layer, rotary, {
        qkv: graph.node('Unsqueeze', [qkv, graph.int64s([0])]),
        pastKeys: graph.input('past.k', 'f32', cache),
        pastValues: graph.input('past.v', 'f32', cache),
        last: graph.input('last', 'i32', [1]),
        total: graph.input('total', 'i32', []),
      })
      return graph.node('Squeeze', [attended, graph.int64s([0])])
    },
  )
  graph.node('Identity', [residual], {}, { outputs: ['y'] })
  graph.output('y', 'f32', ['rows', shape.width])
  const empty = new Float32Array(cache.reduce((product, size) => product * size, 1))
  const past: Tensor = { type: 'float32', dims: cache, data: empty }
  return {
    graph: graph.finish('trial'),
    output: 'y',
    feeds: (rows) => ({
      ...graph.feeds(rows),
      'past.k': past,
      'past.v': past,
      last: { type: 'int32', dims: [1], data: Int32Array.of(rows - 1) },
      total: { type: 'int32', dims: [], data: Int32Array.of(rows) },
    }),
  }
}

async function rotaryTables(shape: DecoderShape, positions: number, weights: MemoryWeights): Promise<RotaryTables> {
  const window = windowRotary(shape)
  const full = await packRotary(shape, positions, weights)
  if (window === null) return { full }
  return { full, window: await packRotary({ ...window, head_dim: shape.head_dim }, positions, weights) }
}

/** From the residual [rows, width] to the logits of some tokens, [rows, tokens]. */
export async function trialHead(
  store: BlobStore,
  shape: DecoderShape,
  block: Block,
  tokens: RowRange,
): Promise<TrialBlock> {
  const weights = new MemoryWeights()
  const packed = await packHead(store, shape, block, weights, tokens)
  const graph = new TrialGraph(weights, shape.layers)
  const logits = headLogits(graph, shape, packed, graph.input('x', 'f32', ['rows', shape.width]))
  graph.node('Identity', [logits], {}, { outputs: ['logits'] })
  graph.output('logits', 'f32', ['rows', tokens.end - tokens.from])
  return { graph: graph.finish('trial'), output: 'logits', feeds: (rows) => graph.feeds(rows) }
}
