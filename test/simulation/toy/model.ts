/** The model of a simulation: a manifest that the product's own check takes, and small tensors that nobody reads. */
import { join } from 'node:path'
import {
  makeBlock,
  manifestDigest,
  saveManifest,
  sourceBytes,
  TOKEN_TYPE,
  TOKENIZER_SCHEMA,
} from '../../../src/models/index.ts'
import type { DecoderShape, ModelManifest, TensorRef, TokenizerDefinition } from '../../../src/models/index.ts'
import { planBlocks } from '../../../src/models/blocks.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { copyTree } from '../disk/memory-disk.ts'
import type { Chance } from '../random.ts'

export const MODEL = 'toy'
export const VOCABULARY = 259
const SEED_HOME = '/sim/model'

function shapeOf(layers: number): DecoderShape {
  return {
    family: 'llama',
    layers,
    width: 64,
    hidden: 64,
    heads: 2,
    kv_heads: 1,
    head_dim: 32,
    vocabulary: VOCABULARY,
    context: 2048,
    norm_epsilon: 1e-5,
    rope_base: 10_000,
    rope_dim: 32,
    rope_interleaved: true,
    rope_factors: [],
  }
}

/** SentencePiece with bytes alone: every id has a text. */
function tokenizer(): TokenizerDefinition {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes]
  return {
    schema: TOKENIZER_SCHEMA,
    kind: 'spm',
    pre: 'default',
    tokens,
    types: tokens.map((_, id) => (id === 0 ? TOKEN_TYPE.unknown : id < 3 ? TOKEN_TYPE.control : TOKEN_TYPE.byte)),
    scores: tokens.map(() => 0),
    bos: 1,
    eos: 2,
    unk: 0,
    pad: null,
    add_bos: true,
    add_eos: false,
    add_space_prefix: true,
    chat_template: null,
  }
}

/** Made once in a run; homes get it by reference. */
export async function makeModel(chance: Chance, layers: number): Promise<ModelManifest> {
  const store = await createBlobStore({ directory: join(SEED_HOME, 'store') })
  const shape = shapeOf(layers)
  const refs = async (name: string, dims: readonly number[]): Promise<TensorRef> => {
    const bytes = sourceBytes(
      'F32',
      dims.reduce((product, size) => product * size, 1),
    )
    const { address } = await store.put(chance.of(name).bytes(bytes))
    return { name, type: 'F32', shape: dims, bytes, address }
  }
  const known = new Map<string, TensorRef>()
  const blocks = []
  for (const { kind, tensors } of planBlocks(shape, true)) {
    const all: TensorRef[] = []
    for (const { name, shape: dims } of tensors) {
      const ref = known.get(name) ?? (await refs(name, dims))
      known.set(name, ref)
      all.push(ref)
    }
    blocks.push(makeBlock(kind, all, 'f32', shape))
  }
  const text = await store.put(Buffer.from(JSON.stringify(tokenizer())))
  const body = { shape, blocks, boundary: 'f16', tokenizer: { address: text.address, bytes: text.bytes } } as const
  const manifest: ModelManifest = {
    schema: 'weft.manifest/1',
    model: MODEL,
    digest: manifestDigest(body),
    license: 'none',
    source: 'simulation',
    ...body,
  }
  await saveManifest(join(SEED_HOME, 'partitions'), manifest)
  return manifest
}

/** A home has the model from the beginning. */
export function giveModel(home: string): void {
  copyTree(SEED_HOME, home)
}
