/** The files of one partition: its blocks' weights, packed as stages pack them, and the graph that uses them. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GraphBuilder, WeightFile } from '../../onnx/index.ts'
import type { StoredTensor } from '../../onnx/index.ts'
import type { BlobStore } from '../../store/index.ts'
import { partitionGraph } from '../llama/export.ts'
import type { PartitionInit, PartitionValue } from '../llama/export.ts'
import { packEmbedding } from '../llama/embedding.ts'
import type { PackedLayer, RotaryTables } from '../llama/layer.ts'
import { packHead, packLayer, packRotary } from '../llama/pack-block.ts'
import { firstContext, windowRotary } from '../llama/rotary.ts'
import type { DecoderShape, ModelManifest } from '../manifest.ts'
import type { SplitPartition, SplitValue } from './types.ts'

/** Weights up to this size stay in the graph's own file, which is then all there is of the partition. */
export const INLINE_BYTES = 16 << 20

export interface PackedPartition {
  readonly init: PartitionInit
  /** The file of the weights, in the same folder as the graph. */
  readonly data: string
  readonly dataBytes: number
}

export interface PackNeeds {
  readonly store: BlobStore
  readonly directory: string
  readonly signal?: AbortSignal | undefined
  /** A block's weights are in the file. */
  packed(block: number): void
}

/** Writes the weights of blocks [from, to) into `<file>.data`. */
export async function packPartition(
  needs: PackNeeds,
  manifest: ModelManifest,
  [from, to]: readonly [from: number, to: number],
  file: string,
): Promise<PackedPartition> {
  const data = `${file}.data`
  const weights = await WeightFile.create(join(needs.directory, data), data)
  try {
    const init = await packBlocks(needs, manifest, from, to, weights)
    await weights.close()
    return { init, data, dataBytes: weights.bytes }
  } catch (error) {
    await weights.abandon().catch(() => undefined)
    throw error
  }
}

async function packBlocks(
  needs: PackNeeds,
  manifest: ModelManifest,
  from: number,
  to: number,
  weights: WeightFile,
): Promise<PartitionInit> {
  const { shape, boundary, blocks } = manifest
  const { store } = needs
  const layers: PackedLayer[] = []
  let embedding: PartitionInit['embedding'] = null
  let head: PartitionInit['head'] = null
  for (let block = from; block < to; block++) {
    needs.signal?.throwIfAborted()
    const { kind } = blocks[block]!
    if (kind === 'embedding')
      embedding = await packEmbedding(store, shape, blocks[block]!.tensors[0]!, boundary, weights)
    else if (kind === 'decoder') layers.push(await packLayer(store, shape, blocks[block]!, weights))
    else head = await packHead(store, shape, blocks[block]!, weights)
    needs.packed(block)
  }
  const rotary = layers.length === 0 ? null : await packTables(shape, weights)
  return { shape, boundary, from, to, embedding, layers, rotary, head }
}

/** A file cannot begin a text anew: it has the factors of the first context alone. */
async function packTables(shape: DecoderShape, weights: WeightFile): Promise<RotaryTables> {
  const [window, positions] = [windowRotary(shape), firstContext(shape) + 1]
  const full = await packRotary(shape, positions, weights)
  if (window === null) return { full }
  return { full, window: await packRotary({ ...window, head_dim: shape.head_dim }, positions, weights) }
}

/** A graph that has its weights in its own file. */
class InlineGraph extends GraphBuilder {
  readonly #weights: Uint8Array

  constructor(weights: Uint8Array) {
    super()
    this.#weights = weights
  }

  override stored(name: string, tensor: StoredTensor): string {
    const bytes = this.#weights.subarray(tensor.offset, tensor.offset + tensor.length)
    return this.constant(name, tensor.type, tensor.dims, bytes)
  }
}

/** Writes a partition's graph beside its weights, and says what `manifest.json` has of it. */
export async function writePartition(
  directory: string,
  packed: PackedPartition,
  file: string,
): Promise<Omit<SplitPartition, 'sha256' | 'bytes'>> {
  const { init, data, dataBytes } = packed
  const inline = dataBytes <= INLINE_BYTES
  const graph = inline ? new InlineGraph(await readFile(join(directory, data))) : new GraphBuilder()
  const { inputs, outputs } = partitionGraph(graph, init)
  const path = join(directory, file)
  await writeFile(path, graph.finish(file), { flush: true })
  // The weights are made for their owner alone; here they are as readable as the graph.
  await chmod(join(directory, data), (await stat(path)).mode & 0o777)
  return {
    file,
    blocks: [init.from, init.to],
    ...(inline ? {} : { data: { file: data, sha256: await sha256(join(directory, data)), bytes: dataBytes } }),
    inputs: inputs.map(valueOf),
    outputs: outputs.map((value) => ({ ...valueOf(value), bytes: valueBytes(value) })),
  }
}

/** SHA-256 of a file, hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

const TYPES = { f16: ['float16', 2], f32: ['float32', 4], i64: ['int64', 8] } as const

function typeOf(value: PartitionValue): (typeof TYPES)[keyof typeof TYPES] {
  return TYPES[value.type as keyof typeof TYPES]
}

function valueOf(value: PartitionValue): SplitValue {
  return { name: value.name, type: typeOf(value)[0], shape: value.shape }
}

function valueBytes(value: PartitionValue): number {
  return value.shape.reduce<number>((product, dim) => product * (typeof dim === 'string' ? 1 : dim), typeOf(value)[1])
}
