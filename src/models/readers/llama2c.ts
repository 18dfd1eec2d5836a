/**
 * Checkpoints of llama2.c, version 0 (its README and `export.py: legacy_export`): seven int32, then float32 matrices,
 * each kind for all layers in a row. There is no magic number: the size that the header asks for is the check.
 */
import { EMBEDDING, OUTPUT, OUTPUT_NORM, partShapes } from '../decoder-tensors.ts'
import type { LayerPart } from '../decoder-tensors.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { mostPositions } from '../llama/head-width.ts'
import type { DecoderShape } from '../manifest.ts'
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import type { FileTensor } from './gguf-tensors.ts'
import * as limits from './limits.ts'
import type { RandomAccess } from './random-access.ts'
import type { SourceModel } from './source-model.ts'

const HEADER_BYTES = 28
/** `ak42`: versions 1 and 2. */
const VERSIONED_MAGIC = 0x616b3432

/** The order in the file; `freqs` are the two tables of cosines and sines, which weft makes itself. */
const ORDER: readonly (LayerPart | 'embedding' | 'norm' | 'freqs')[] = [
  'embedding',
  'attn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_norm',
  'ffn_gate',
  'ffn_down',
  'ffn_up',
  'norm',
  'freqs',
]

/**
 * `tokenizer` gets the size of the vocabulary and finds the tokenizer's file.
 * @throws ModelFileError, UnsupportedModelError, TokenizerDataError
 */
export async function readLlama2c(
  source: RandomAccess,
  tokenizer: (vocabulary: number) => Promise<TokenizerDefinition>,
): Promise<SourceModel> {
  const { shape, tied } = await readHeader(source)
  const { tensors, end } = layOut(shape, tied)
  const served = { ...shape, context: Math.min(shape.context, mostPositions(shape)) }
  if (end !== source.size) {
    throw new ModelFileError('size', `the header asks for ${end} bytes, the file has ${source.size}`)
  }
  return { format: 'llama2c', license: 'unknown', shape: served, tensors, tokenizer: await tokenizer(shape.vocabulary) }
}

async function readHeader(source: RandomAccess): Promise<{ shape: DecoderShape; tied: boolean }> {
  const bytes = await source.read(0, Math.min(HEADER_BYTES, source.size))
  if (bytes.length < HEADER_BYTES) throw new ModelFileError('header', `${bytes.length} bytes are no model file`)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  if (view.getUint32(0, true) === VERSIONED_MAGIC) {
    throw new UnsupportedModelError('llama2.c checkpoints of version 1 and 2 are not read', {
      hint: 'Export it again with --version 0.',
    })
  }
  const field = (index: number, name: string, most: number): number => {
    const value = view.getInt32(4 * index, true)
    if (value < 1 || value > most) throw new ModelFileError(name, `${value} is not in 1 to ${most}`)
    return value
  }
  const signed = view.getInt32(20, true)
  const vocabulary = Math.abs(signed)
  if (vocabulary < 1 || vocabulary > limits.MAX_VOCABULARY) {
    throw new ModelFileError('vocab_size', `${signed} is not possible`)
  }
  const width = field(0, 'dim', limits.MAX_WIDTH)
  const heads = field(3, 'n_heads', limits.MAX_HEADS)
  const kv_heads = field(4, 'n_kv_heads', heads)
  if (width % heads !== 0 || (width / heads) % 2 !== 0) {
    throw new ModelFileError('n_heads', `${heads} heads do not divide ${width} into even parts`)
  }
  if (heads % kv_heads !== 0) throw new ModelFileError('n_kv_heads', `${kv_heads} does not divide ${heads}`)
  const shape: DecoderShape = {
    family: 'llama',
    layers: field(2, 'n_layers', limits.MAX_LAYERS),
    width,
    hidden: field(1, 'hidden_dim', limits.MAX_HIDDEN),
    heads,
    kv_heads,
    head_dim: width / heads,
    vocabulary,
    context: field(6, 'seq_len', limits.MAX_CONTEXT),
    norm_epsilon: 1e-5,
    rope_base: 10_000,
    rope_dim: width / heads,
    rope_interleaved: true,
    rope_factors: [],
  }
  // A negative size of the vocabulary says that the classifier has a matrix of its own.
  return { shape, tied: signed > 0 }
}

function layOut(shape: DecoderShape, tied: boolean): { tensors: Map<string, FileTensor>; end: number } {
  const { layers, width, vocabulary, context, head_dim } = shape
  const tensors = new Map<string, FileTensor>()
  const shapes = partShapes(shape)
  let offset = HEADER_BYTES
  const add = (name: string, dimensions: readonly number[]): void => {
    const bytes = 4 * dimensions.reduce((product, size) => product * size, 1)
    tensors.set(name, { name, type: 'F32', shape: dimensions, offset, bytes })
    offset += bytes
  }
  for (const part of ORDER) {
    if (part === 'embedding') add(EMBEDDING, [vocabulary, width])
    else if (part === 'norm') add(OUTPUT_NORM, [width])
    else if (part === 'freqs') offset += 4 * context * head_dim
    else for (let layer = 0; layer < layers; layer++) add(`blk.${layer}.${part}.weight`, shapes[part])
  }
  if (!tied) add(OUTPUT, [vocabulary, width])
  return { tensors, end: offset }
}
