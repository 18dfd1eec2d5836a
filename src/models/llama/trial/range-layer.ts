/**
 * One decoder layer as files that are loaded once and removed: the packed weights as they are, and a graph for a run of
 * some dozen rows.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GraphBuilder, WeightFile } from '../../../onnx/index.ts'
import type { AttributeValue, NodeOptions } from '../../../onnx/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import type { Block, DecoderShape } from '../../manifest.ts'
import { packLayer } from '../pack-block.ts'
import { textLayer, textRotary } from './text-layer.ts'
import type { TextRows } from './text-layer.ts'

const WEIGHTS = 'layer.weights'

/**
 * 4-bit matrices take activations as they are, in float32: their kernels pack the weights in two thirds of the time. Of 8
 * bits the engine (1.30) would pack nothing then, and unpack all of them in each run.
 */
class FloatActivations extends GraphBuilder {
  override node(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    options: NodeOptions = {},
  ): string {
    const own = attributes['bits'] === 4 ? { ...attributes, accuracy_level: 0 } : attributes
    return super.node(opType, input, own, options)
  }
}

/**
 * Writes layer `layer` (from 0) into a folder of its own, for such texts (text-layer.ts).
 * @returns path of the graph
 */
export async function writeRangeLayer(
  store: BlobStore,
  shape: DecoderShape,
  block: Block,
  layer: number,
  texts: TextRows,
  directory: string,
): Promise<string> {
  const weights = await WeightFile.create(join(directory, WEIGHTS), WEIGHTS)
  const graph = new FloatActivations()
  try {
    const packed = await packLayer(store, shape, block, weights)
    const rotary = await textRotary(shape, texts.positions, weights)
    textLayer(graph, shape, { packed, rotary, layer, texts })
  } finally {
    await weights.close(false)
  }
  const path = join(directory, 'layer.onnx')
  await writeFile(path, graph.finish('range'))
  return path
}
