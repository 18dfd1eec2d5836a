/** A GGUF file of the Llama family as blocks want it: its shape from the metadata, held against its tensors. */
import { dequantize } from '../dequantize/index.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { mostPositions } from '../llama/head-width.ts'
import type { LlamaShape } from '../manifest.ts'
import { ggufTokenizer } from './gguf-tokenizer.ts'
import { readGguf } from './gguf.ts'
import type { FileTensor } from './gguf-tensors.ts'
import * as limits from './limits.ts'
import { metadataAccess } from './metadata-access.ts'
import type { MetadataAccess } from './metadata-access.ts'
import type { RandomAccess } from './random-access.ts'
import { collectTensors } from './collect-tensors.ts'
import type { SourceModel } from './source-model.ts'

/** Keys that change the graph in ways that weft's Llama does not have. */
const GRAPH_CHANGES = [
  'llama.attention.clamp_kqv',
  'llama.attention.max_alibi_bias',
  'llama.attention.scale',
  'llama.attention.sliding_window',
  'llama.attention.temperature_scale',
  'llama.embedding_scale',
  'llama.interleave_moe_layer_step',
  'llama.logit_scale',
  'llama.residual_scale',
] as const
/** Licences are identifiers, or at most a line. */
const MAX_LICENSE = 200

/** @throws ModelFileError, UnsupportedModelError, TokenizerDataError */
export async function readGgufLlama(source: RandomAccess): Promise<SourceModel> {
  const file = await readGguf(source)
  const metadata = metadataAccess(file.metadata)
  checkArchitecture(metadata)
  const byName = new Map(file.tensors.map((tensor) => [tensor.name, tensor]))
  const tokenizer = ggufTokenizer(metadata)
  const embedding = byName.get('token_embd.weight')
  if (embedding === undefined) throw new ModelFileError('token_embd.weight', 'the tensor is missing')
  const shape = await readShape(source, metadata, byName, embedding.shape[0]!)
  if (tokenizer.tokens.length !== shape.vocabulary) {
    throw new ModelFileError('tokenizer.ggml.tokens', `${tokenizer.tokens.length} tokens for ${shape.vocabulary} rows`)
  }
  return {
    format: 'gguf',
    license: (metadata.text('general.license') ?? 'unknown').slice(0, MAX_LICENSE),
    shape,
    tensors: collectTensors(byName, shape),
    tokenizer,
  }
}

function checkArchitecture(metadata: MetadataAccess): void {
  const architecture = metadata.text('general.architecture')
  if (architecture === undefined) throw new ModelFileError('general.architecture', 'it is missing')
  if (architecture !== 'llama') {
    throw new UnsupportedModelError(`architecture ${JSON.stringify(architecture.slice(0, 40))} is not supported`, {
      why: 'weft runs the Llama graph (GGUF architecture llama: Llama, SmolLM2, Mistral, TinyLlama, ...)',
      details: { architecture: architecture.slice(0, 40) },
    })
  }
  if (metadata.count('split.count', 0, 65_535, 1) > 1) {
    throw new UnsupportedModelError('the model is split into several GGUF files, which is not supported', {
      hint: 'Join them with llama-gguf-split --merge and import the result.',
    })
  }
  if (metadata.count('llama.expert_count', 0, 65_535, 0) > 0) {
    throw new UnsupportedModelError('a mixture of experts is not supported', { details: { architecture } })
  }
  for (const key of GRAPH_CHANGES) {
    if (metadata.has(key)) throw new UnsupportedModelError(`${key} changes the graph in a way that is not supported`)
  }
}

async function readShape(
  source: RandomAccess,
  metadata: MetadataAccess,
  byName: ReadonlyMap<string, FileTensor>,
  vocabulary: number,
): Promise<LlamaShape> {
  if (vocabulary < 1 || vocabulary > limits.MAX_VOCABULARY) {
    throw new ModelFileError(
      'token_embd.weight',
      `a vocabulary of ${vocabulary} is not in 1 to ${limits.MAX_VOCABULARY}`,
    )
  }
  const width = metadata.count('llama.embedding_length', 1, limits.MAX_WIDTH)
  const heads = metadata.count('llama.attention.head_count', 1, limits.MAX_HEADS)
  const head_dim = metadata.count('llama.attention.key_length', 1, limits.MAX_WIDTH, Math.floor(width / heads))
  const rope_dim = metadata.count('llama.rope.dimension_count', 2, head_dim, head_dim)
  const shape: LlamaShape = {
    family: 'llama',
    layers: metadata.count('llama.block_count', 1, limits.MAX_LAYERS),
    width,
    hidden: metadata.count('llama.feed_forward_length', 1, limits.MAX_HIDDEN),
    heads,
    kv_heads: metadata.count('llama.attention.head_count_kv', 1, heads, heads),
    head_dim,
    vocabulary,
    context: Math.min(metadata.count('llama.context_length', 1, limits.MAX_CONTEXT), mostPositions({ head_dim })),
    norm_epsilon: metadata.real('llama.attention.layer_norm_rms_epsilon', 0, 1),
    rope_base: metadata.real('llama.rope.freq_base', 1, 1e12, 10_000),
    rope_dim,
    rope_interleaved: true,
    rope_factors: await ropeFactors(source, metadata, byName, rope_dim),
  }
  if (shape.heads % shape.kv_heads !== 0) {
    throw new ModelFileError('llama.attention.head_count_kv', `${shape.kv_heads} does not divide ${heads} heads`)
  }
  if (rope_dim % 2 !== 0) throw new ModelFileError('llama.rope.dimension_count', `${rope_dim} is odd`)
  if (metadata.count('llama.attention.value_length', 1, limits.MAX_WIDTH, head_dim) !== head_dim) {
    throw new UnsupportedModelError('keys and values of different lengths are not supported')
  }
  return shape
}

/** What each pair's frequency is divided by: `rope_freqs.weight` (Llama 3.1), the factor of linear scaling, or both. */
async function ropeFactors(
  source: RandomAccess,
  metadata: MetadataAccess,
  byName: ReadonlyMap<string, FileTensor>,
  rope_dim: number,
): Promise<readonly number[]> {
  const linear = linearFactor(metadata)
  const tensor = byName.get('rope_freqs.weight')
  if (tensor === undefined) return linear === 1 ? [] : Array.from({ length: rope_dim / 2 }, () => linear)
  if (tensor.type !== 'F32' || tensor.shape.length !== 1 || tensor.shape[0] !== rope_dim / 2) {
    throw new ModelFileError('rope_freqs.weight', `it is not ${rope_dim / 2} elements of F32`)
  }
  const factors = dequantize('F32', await source.read(tensor.offset, tensor.bytes), rope_dim / 2)
  if (!factors.every((factor) => Number.isFinite(factor) && factor > 0)) {
    throw new ModelFileError('rope_freqs.weight', 'not all of its factors are positive numbers')
  }
  return Array.from(factors, (factor) => factor * linear)
}

function linearFactor(metadata: MetadataAccess): number {
  const type = metadata.text('llama.rope.scaling.type') ?? 'none'
  if (type === 'linear') return metadata.real('llama.rope.scaling.factor', 1e-3, 1e6)
  if (type !== 'none') {
    throw new UnsupportedModelError(`rope scaling of type ${JSON.stringify(type.slice(0, 40))} is not supported`, {
      why: 'weft knows none, linear and the factors of rope_freqs.weight',
    })
  }
  return metadata.real('llama.rope.scale_linear', 1e-3, 1e6, 1)
}
