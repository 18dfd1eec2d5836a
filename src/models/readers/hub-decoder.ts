/** A folder in the hub's layout as blocks want it: `config.json`, safetensors and `tokenizer.json`. */
import { ARCHITECTURES, decoderShape } from '../architectures/index.ts'
import type { Architecture } from '../architectures/index.ts'
import { EMBEDDING, OUTPUT } from '../decoder-tensors.ts'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import { biasesOf } from './biases.ts'
import { collectTensors } from './collect-tensors.ts'
import { splitFused } from './fused-tensors.ts'
import { hubTensors } from './hub-names.ts'
import { hubShapeFacts } from './hub-shape.ts'
import { hubTokenizer } from './hub-tokenizer.ts'
import type { JsonObject } from './json-document.ts'
import { openModelFolder } from './model-folder.ts'
import type { RandomAccess } from './random-access.ts'
import { openShards } from './safetensors-shards.ts'
import type { SourceModel } from './source-model.ts'

/** Configurations have a few KB; those with factors for each pair some 20. */
export const MAX_CONFIG_BYTES = 1 << 20

/** Close the access. `architectures`: those that are looked for. @throws SourceFileError, ModelFileError, UnsupportedModelError, TokenizerDataError */
export async function openHubDecoder(
  path: string,
  architectures: readonly Architecture[] = ARCHITECTURES,
): Promise<{ model: SourceModel; access: RandomAccess }> {
  const folder = await openModelFolder(path)
  const outer = await folder.json('config.json', MAX_CONFIG_BYTES)
  if (outer === null) {
    throw new UnsupportedModelError('the folder has no config.json', {
      hint: 'Name the folder of a model as the hub has it, or a GGUF file.',
    })
  }
  // Models that also see have the language model's part inside.
  const config = outer.object('text_config') ?? outer
  const architecture = findArchitecture(outer, config, architectures)
  const { tensors, access } = await openShards(folder)
  try {
    // Of two that differ, the whole model's counts.
    const tied =
      outer.flag('tie_word_embeddings') ?? config.flag('tie_word_embeddings') ?? architecture.safetensors.tied
    const byName = hubTensors(tensors, architecture, tied)
    const rows = byName.get(EMBEDDING)?.shape[0]
    if (rows === undefined) throw new ModelFileError('model.embed_tokens.weight', 'the tensor is missing')
    const facts = hubShapeFacts(config, architecture, biasesOf(byName), rows)
    if (!tied && !byName.has(OUTPUT)) throw new ModelFileError('lm_head.weight', 'the tensor is missing')
    const shape = decoderShape(architecture, facts)
    const model: SourceModel = {
      format: 'safetensors',
      license: 'unknown',
      shape,
      tensors: collectTensors(splitFused(byName, shape), shape),
      tokenizer: await hubTokenizer(folder, config, shape.vocabulary),
    }
    return { model, access }
  } catch (error) {
    await access.close()
    throw error
  }
}

/** Outer and inner type are one's, where there are two. */
function findArchitecture(outer: JsonObject, config: JsonObject, architectures: readonly Architecture[]): Architecture {
  const type = outer.text('model_type')
  if (type === undefined) throw new ModelFileError('config.json: model_type', 'it is missing')
  const inner = config.text('model_type') ?? type
  const found = architectures.find(({ hub }) => hub.includes(type) && hub.includes(inner))
  if (found !== undefined) return found
  const named = (inner === type ? type : `${type.slice(0, 40)} of ${inner}`).slice(0, 80)
  throw new UnsupportedModelError(`model type ${JSON.stringify(named)} is not supported`, {
    why: `weft runs ${architectures.flatMap(({ hub }) => hub).join(', ')}`,
    details: { architecture: named },
  })
}
