/** Decoder layers and the head as graphs for training; their weights are fed, and shared by all graphs of a layer. */
import type { Tensor } from '../../../onnx/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import type { Block, DecoderShape } from '../../manifest.ts'
import { kernelHeadDim } from '../head-width.ts'
import { headLogits } from '../head.ts'
import { decoderLayer } from '../layer.ts'
import type { PackedLayer } from '../layer.ts'
import { packHead, packLayer } from '../pack-block.ts'
import { firstContext, longRope, rotaryTable, windowRotary } from '../rotary.ts'
import type { RotaryShape } from '../rotary.ts'
import { MemoryWeights } from '../trial/memory-weights.ts'
import { lowRank } from './adapter-parts.ts'
import type { AdaptedPart } from './adapter-parts.ts'
import { TEXT_INPUT, textAttention } from './text-attention.ts'
import { TrainingGraph } from './training-graph.ts'

/** Added to scores of rows that are not seen: its exponential is 0. */
const UNSEEN = -1e30

export interface AdapterForm {
  readonly parts: readonly AdaptedPart[]
  readonly rank: number
  /** Alpha / rank. */
  readonly scale: number
}

export interface TrainBlock {
  /** Blocks that differ in their weights alone have the same bytes. */
  readonly graph: Uint8Array
  /** Weights and tables, by the names of inputs. */
  readonly feeds: ReadonlyMap<string, Tensor>
}

/** A decoder layer's weights, for graphs over texts of any length and adapters of any form. */
export class FrozenLayer {
  readonly #shape: DecoderShape
  readonly #layer: number
  readonly #packed: PackedLayer
  readonly #weights: MemoryWeights

  private constructor(shape: DecoderShape, layer: number, packed: PackedLayer, weights: MemoryWeights) {
    this.#shape = shape
    this.#layer = layer
    this.#packed = packed
    this.#weights = weights
  }

  /** @param layer from 0 */
  static async load(store: BlobStore, shape: DecoderShape, block: Block, layer: number): Promise<FrozenLayer> {
    const weights = new MemoryWeights()
    return new FrozenLayer(shape, layer, await packLayer(store, shape, block, weights), weights)
  }

  /** For texts of `length` rows each: `x` [texts length, width] and the adapter in, `y` out, float32. */
  graph(length: number, adapter: AdapterForm): TrainBlock {
    const shape = this.#shape
    const graph = new TrainingGraph(this.#weights)
    const tables = textTables(shape, this.#layer, length)
    const x = graph.input('x', 'f32', ['rows', shape.width])
    for (const [name, { dims }] of tables) graph.input(name, 'f32', dims)
    const adapt = lowRank(graph, shape, adapter)
    const rotated = tables.has(TEXT_INPUT.cos)
    const attend = (qkv: string): string => textAttention(graph, shape, length, rotated, qkv)
    const y = decoderLayer(graph, shape, 'layer', this.#packed, x, attend, adapt)
    graph.node('Identity', [y], {}, { outputs: ['y'] })
    graph.output('y', 'f32', ['rows', shape.width])
    return { graph: graph.finish('layer'), feeds: new Map([...graph.fed, ...tables]) }
  }
}

/** `x` [rows, width] in, `logits` [rows, vocabulary] out. */
export async function frozenHead(store: BlobStore, shape: DecoderShape, block: Block): Promise<TrainBlock> {
  const weights = new MemoryWeights()
  const packed = await packHead(store, shape, block, weights)
  const graph = new TrainingGraph(weights)
  const logits = headLogits(graph, shape, packed, graph.input('x', 'f32', ['rows', shape.width]))
  graph.node('Identity', [logits], {}, { outputs: ['logits'] })
  graph.output('logits', 'f32', ['rows', shape.vocabulary])
  return { graph: graph.finish('head'), feeds: graph.fed }
}

function textTables(shape: DecoderShape, layer: number, length: number): Map<string, Tensor> {
  const window = shape.window?.layers.includes(layer) === true ? shape.window : undefined
  const seen = window?.size ?? length
  const mask = new Float32Array(length * length)
  for (let row = 0; row < length; row++) {
    for (let other = 0; other < length; other++) {
      if (other > row || other <= row - seen) mask[row * length + other] = UNSEEN
    }
  }
  const tables = new Map<string, Tensor>([[TEXT_INPUT.mask, { type: 'float32', dims: [length, length], data: mask }]])
  if (shape.unrotated_layers?.includes(layer) === true) return tables
  const full = length > firstContext(shape) ? longRope(shape) : shape
  const rotary: RotaryShape = (window === undefined ? null : windowRotary(shape)) ?? full
  const pairs = kernelHeadDim(shape) / 2
  for (const kind of ['cos', 'sin'] as const) {
    const data = Float32Array.from([...rotaryTable(kind, rotary, length, pairs)].flatMap((piece) => [...piece]))
    tables.set(TEXT_INPUT[kind], { type: 'float32', dims: [length, 1, pairs], data })
  }
  return tables
}
