/** A model with an adapter taken into its weights: W + (alpha / rank) B A; all else stays as it is. */
import type { BlobStore } from '../../store/index.ts'
import { makeBlock } from '../blocks.ts'
import { dequantize, floatsToHalves } from '../dequantize/index.ts'
import { toFile } from '../llama/adapted/adapter-layout.ts'
import { ADAPTED_MATRICES } from '../llama/adapted/adapter-parts.ts'
import type { AdaptedPart } from '../llama/adapted/adapter-parts.ts'
import { adjacentRow } from '../llama/head-width.ts'
import { manifestDigest } from '../manifest-check.ts'
import type { DecoderShape, ModelManifest, TensorRef, WeightFormat } from '../manifest.ts'
import type { LowRankAdapter } from './low-rank.ts'

/**
 * Puts the new tensors into the store: in float32 where layers are to be held so, else in half precision.
 * @param model name of the result
 * @param weights how layers with an adapter are held; undefined: as those of the base
 */
export async function mergeAdapter(
  store: BlobStore,
  base: ModelManifest,
  adapter: LowRankAdapter,
  model: string,
  weights?: WeightFormat,
): Promise<ModelManifest> {
  const { shape } = base
  const blocks = []
  for (const [index, block] of base.blocks.entries()) {
    if (block.kind !== 'decoder') {
      blocks.push(block)
      continue
    }
    const tensors: TensorRef[] = []
    for (const ref of block.tensors) {
      const part = adapter.parts.find((each) => ref.name === `blk.${index - 1}.${ADAPTED_MATRICES[each]}.weight`)
      tensors.push(part === undefined ? ref : await merged({ store, shape, adapter, weights }, ref, index - 1, part))
    }
    blocks.push(makeBlock('decoder', tensors, weights ?? block.weights, shape))
  }
  const { quality: _, ...rest } = base
  const manifest = { ...rest, model, blocks, source: `${base.source} with an adapter`, digest: '' }
  return { ...manifest, digest: manifestDigest(manifest) }
}

interface Merging {
  readonly store: BlobStore
  readonly shape: DecoderShape
  readonly adapter: LowRankAdapter
  readonly weights: WeightFormat | undefined
}

async function merged(
  { store, shape, adapter, weights }: Merging,
  ref: TensorRef,
  layer: number,
  part: AdaptedPart,
): Promise<TensorRef> {
  const [outputs, inputs] = ref.shape as [number, number]
  const values = dequantize(ref.type, await store.readAll(ref.address), outputs * inputs)
  const { rank } = adapter
  const a = toFile(shape, part, 'a', rank, adapter.value(layer, part, 'a'))
  const b = toFile(shape, part, 'b', rank, adapter.value(layer, part, 'b'))
  const scale = adapter.alpha / rank
  for (let output = 0; output < outputs; output++) {
    const from = sourceRow(shape, part, output) * inputs
    for (let at = 0; at < rank; at++) {
      const weight = scale * b[output * rank + at]!
      for (let input = 0; input < inputs; input++) {
        values[from + input] = values[from + input]! + weight * a[at * inputs + input]!
      }
    }
  }
  const bytes = new Uint8Array((weights === 'f32' ? values : floatsToHalves(values)).buffer)
  const { address } = await store.put(bytes)
  return { ...ref, type: weights === 'f32' ? 'F32' : 'F16', bytes: bytes.length, address }
}

/** From a row in the hub's order to the source's: of files that rotate neighbours, q and k have the pairs side by side. */
function sourceRow(shape: DecoderShape, part: AdaptedPart, row: number): number {
  return shape.rope_interleaved && (part === 'q' || part === 'k') ? adjacentRow(shape, row) : row
}
