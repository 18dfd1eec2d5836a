/** A GGUF file of a decoder as blocks want it: its shape from the metadata, held against its tensors. */
import { ARCHITECTURES, decoderShape } from '../architectures/index.ts'
import type { Architecture } from '../architectures/index.ts'
import { EMBEDDING } from '../decoder-tensors.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { collectTensors } from './collect-tensors.ts'
import { splitFused } from './fused-tensors.ts'
import { ggufShapeFacts } from './gguf-shape.ts'
import { ggufTokenizer } from './gguf-tokenizer.ts'
import { readGguf } from './gguf.ts'
import type { GgufFile } from './gguf.ts'
import { metadataAccess } from './metadata-access.ts'
import type { MetadataAccess } from './metadata-access.ts'
import type { RandomAccess } from './random-access.ts'
import type { SourceModel } from './source-model.ts'

/** Keys, after the architecture's name, that change the graph in ways that weft does not have. */
const GRAPH_CHANGES = [
  'attention.clamp_kqv',
  'attention.max_alibi_bias',
  'attention.scale',
  'attention.temperature_scale',
  'attention.temperature_length',
  'embedding_scale',
  'interleave_moe_layer_step',
  'logit_scale',
  'residual_scale',
] as const
/** Licences are identifiers, or at most a line. */
const MAX_LICENSE = 200

/**
 * `architectures`: those that are looked for; `parts`: of a model in several files, which `source` is then.
 * @throws ModelFileError, UnsupportedModelError, TokenizerDataError
 */
export async function readGgufDecoder(
  source: RandomAccess,
  architectures: readonly Architecture[] = ARCHITECTURES,
  parts?: GgufFile,
): Promise<SourceModel> {
  const file = parts ?? (await readGguf(source))
  const metadata = metadataAccess(file.metadata)
  const { architecture, prefix } = findArchitecture(metadata, architectures)
  checkGraph(metadata, prefix)
  const byName = new Map(file.tensors.map((tensor) => [tensor.name, tensor]))
  const tokenizer = ggufTokenizer(metadata, architecture)
  const embedding = byName.get(EMBEDDING)
  if (embedding === undefined) throw new ModelFileError(EMBEDDING, 'the tensor is missing')
  const needs = { source, metadata, byName, prefix, architecture, vocabulary: embedding.shape[0]! }
  const shape = decoderShape(architecture, await ggufShapeFacts(needs))
  if (tokenizer.tokens.length !== shape.vocabulary) {
    throw new ModelFileError('tokenizer.ggml.tokens', `${tokenizer.tokens.length} tokens for ${shape.vocabulary} rows`)
  }
  return {
    format: 'gguf',
    license: (metadata.text('general.license') ?? 'unknown').slice(0, MAX_LICENSE),
    shape,
    tensors: collectTensors(splitFused(byName, shape), shape),
    tokenizer,
  }
}

function findArchitecture(
  metadata: MetadataAccess,
  architectures: readonly Architecture[],
): { architecture: Architecture; prefix: string } {
  const name = metadata.text('general.architecture')
  if (name === undefined) throw new ModelFileError('general.architecture', 'it is missing')
  const fitting = architectures.filter(({ gguf }) => gguf.includes(name))
  if (fitting.length === 0) {
    const known = [...new Set(architectures.flatMap(({ gguf }) => gguf))].join(', ')
    throw new UnsupportedModelError(`architecture ${JSON.stringify(name.slice(0, 40))} is not supported`, {
      why: `weft runs ${known}`,
      details: { architecture: name.slice(0, 40) },
    })
  }
  const hasWindow = metadata.count(`${name}.attention.sliding_window`, 0, 2 ** 32 - 1, 0) > 0
  const windowed = hasWindow ? fitting.find((architecture) => architecture.windowed !== undefined) : undefined
  return { architecture: windowed ?? fitting[0]!, prefix: name }
}

function checkGraph(metadata: MetadataAccess, prefix: string): void {
  if (metadata.count(`${prefix}.expert_count`, 0, 65_535, 0) > 0) {
    throw new UnsupportedModelError('a mixture of experts is not supported', { details: { architecture: prefix } })
  }
  if (metadata.flag(`${prefix}.use_parallel_residual`) === true) {
    throw new UnsupportedModelError(`${prefix}.use_parallel_residual changes the graph in a way that is not supported`)
  }
  for (const name of GRAPH_CHANGES) {
    const key = `${prefix}.${name}`
    if (metadata.has(key)) throw new UnsupportedModelError(`${key} changes the graph in a way that is not supported`)
  }
}
