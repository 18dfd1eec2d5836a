/** Small decoders with random weights of any source type, in a store of their own: for the laws of exactness. */
import { createHash } from 'node:crypto'
import { SOURCE_TYPES, manifestDigest, sourceBytes } from '../../../src/models/index.ts'
import type {
  Block,
  BoundaryType,
  DecoderShape,
  ModelManifest,
  SourceType,
  TensorRef,
  WeightFormat,
} from '../../../src/models/index.ts'
import { headNorms, layerTensors } from '../../../src/models/decoder-tensors.ts'
import type { PlannedTensor } from '../../../src/models/decoder-tensors.ts'
import type { BlobStore } from '../../../src/store/index.ts'

/** Where the float16 scales of a block lie: what must not be random bits. */
const SCALES: Readonly<Record<SourceType, readonly number[]>> = {
  F32: [],
  F16: [],
  BF16: [],
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
}

export const SMALL: DecoderShape = {
  family: 'llama',
  layers: 3,
  width: 256,
  hidden: 512,
  heads: 4,
  kv_heads: 2,
  head_dim: 64,
  vocabulary: 320,
  context: 2048,
  norm_epsilon: 1e-5,
  rope_base: 10_000,
  rope_dim: 64,
  rope_interleaved: true,
  rope_factors: [],
}

/** K-quants multiply their scale by one of up to 6 bits: without this the residual leaves float16's range. */
const K_DIVISOR: Readonly<Partial<Record<SourceType, number>>> = { Q2_K: 8, Q3_K: 32, Q4_K: 64, Q5_K: 128, Q6_K: 128 }

/** Deterministic bytes: SHA-256 in counter mode. */
function randomBytes(seed: string, length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let at = 0, block = 0; at < length; at += 32, block++) {
    const digest = createHash('sha256').update(`${seed}/${block}`).digest()
    out.set(digest.subarray(0, Math.min(32, length - at)), at)
  }
  return out
}

function tensorBytes(seed: string, type: SourceType, elements: number, scale: number): Uint8Array {
  const bytes = randomBytes(seed, sourceBytes(type, elements))
  const view = new DataView(bytes.buffer)
  if (type === 'F32')
    for (let at = 0; at < bytes.length; at += 4) view.setFloat32(at, ((bytes[at]! - 127.5) / 127.5) * scale, true)
  if (type === 'F16')
    for (let at = 0; at < bytes.length; at += 2) view.setUint16(at, half(((bytes[at]! - 127.5) / 127.5) * scale), true)
  if (type === 'BF16') {
    for (let at = 0; at < bytes.length; at += 2) {
      const word = new DataView(Float32Array.of(((bytes[at]! - 127.5) / 127.5) * scale).buffer)
      view.setUint16(at, word.getUint16(2, true), true)
    }
  }
  const { block, bytes: blockBytes } = SOURCE_TYPES[type]
  if (block > 1) {
    for (let at = 0, index = 0; at < bytes.length; at += blockBytes, index++) {
      for (const offset of SCALES[type])
        view.setUint16(
          at + offset,
          half((scale / 100 / (K_DIVISOR[type] ?? 1)) * (1 + (index % 7) / 7) * (offset === 0 ? 1 : 0.5)),
          true,
        )
    }
  }
  return bytes
}

/** Bits of the nearest float16. */
function half(value: number): number {
  const out = new Float16Array([value])
  return new Uint16Array(out.buffer)[0]!
}

export interface RandomModelInit {
  readonly type: SourceType
  readonly weights?: WeightFormat
  readonly boundary?: BoundaryType
  readonly shape?: Partial<DecoderShape>
}

export async function randomModel(store: BlobStore, init: RandomModelInit): Promise<ModelManifest> {
  const shape = { ...SMALL, ...init.shape }
  const put = async (name: string, type: SourceType, dims: readonly number[], scale: number): Promise<TensorRef> => {
    const bytes = tensorBytes(
      name,
      type,
      dims.reduce((a, b) => a * b, 1),
      scale,
    )
    const { address } = await store.put(bytes)
    return { name, type, shape: dims, bytes: bytes.length, address }
  }
  const { width } = shape
  const block = (kind: Block['kind'], tensors: readonly TensorRef[]): Block => ({
    kind,
    tensors,
    weights: init.weights ?? 'auto',
    bytes: tensors.reduce((sum, ref) => sum + ref.bytes, 0),
    memory: 1,
    flops: 1,
    kv_bytes: kind === 'decoder' ? 1 : 0,
  })
  const embedding = await put('token_embd.weight', init.type, [shape.vocabulary, width], 1)
  const blocks = [block('embedding', [embedding])]
  const vectorOrMatrix = (prefix: string, { name, shape: dims }: PlannedTensor): Promise<TensorRef> => {
    if (dims.length === 2) return put(prefix + name, init.type, dims, 0.2)
    return put(prefix + name, 'F32', dims, name.endsWith('bias') ? 0.2 : 1)
  }
  for (let layer = 0; layer < shape.layers; layer++) {
    const tensors: TensorRef[] = []
    for (const tensor of layerTensors(shape)) tensors.push(await vectorOrMatrix(`blk.${layer}.`, tensor))
    blocks.push(block('decoder', tensors))
  }
  const norms: TensorRef[] = []
  for (const tensor of headNorms(shape)) norms.push(await vectorOrMatrix('', tensor))
  blocks.push(block('head', [...norms, embedding]))
  const manifest: ModelManifest = {
    schema: 'weft.manifest/1',
    model: `random-${init.type.toLowerCase()}`,
    digest: '',
    license: 'none',
    source: 'random',
    shape,
    boundary: init.boundary ?? 'f16',
    tokenizer: { address: embedding.address, bytes: embedding.bytes },
    blocks,
  }
  return { ...manifest, digest: manifestDigest(manifest) }
}
