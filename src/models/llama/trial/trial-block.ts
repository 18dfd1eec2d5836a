/** One decoder layer, or a part of the head, as a graph whose weights are fed (trial-graph.ts says how it computes). */
import type { Tensor } from '../../../onnx/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import type { Block, DecoderShape } from '../../manifest.ts'
import { headLogits } from '../head.ts'
import { packHead, packLayer } from '../pack-block.ts'
import type { RowRange } from '../pack-block.ts'
import { MemoryWeights } from './memory-weights.ts'
import { textFeeds, textLayer, textRotary } from './text-layer.ts'
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
  const rotary = await textRotary(shape, positions, weights)
  const graph = new TrialGraph(weights, layer)
  const texts = { count: 1, positions }
  textLayer(graph, shape, { packed, rotary, layer, texts })
  return {
    graph: graph.finish('trial'),
    output: 'y',
    feeds: (rows) => ({ ...graph.feeds(rows), ...textFeeds(shape, texts, rows) }),
  }
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
