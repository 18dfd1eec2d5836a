/** A decoder whose tokens are bytes, as the hub lays out a Llama: what `weft import` takes, to be run and served. */
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { makeFolders, writeFileAtomic } from '../../store/index.ts'
import { writeSafetensors } from '../adapters/write-safetensors.ts'
import type { FiledTensor } from '../adapters/write-safetensors.ts'
import type { DecoderShape } from '../manifest.ts'
import { hubName } from '../readers/hub-names.ts'
import { byteTokenizer } from '../tokenizer/byte-tokenizer.ts'
import { HubLayoutError } from './errors.ts'

/** Folder of a run that has it. */
export const HUB_FOLDER = 'hub'
const FILES = { config: 'config.json', tokenizer: 'tokenizer.json', weights: 'model.safetensors' } as const
const BYTES = 256

export type ByteDecoder = Pick<
  DecoderShape,
  'layers' | 'width' | 'hidden' | 'heads' | 'kv_heads' | 'vocabulary' | 'context' | 'norm_epsilon' | 'rope_base'
> & {
  /** The head is the embedding. */
  readonly tied: boolean
}

/**
 * Matrices in half precision, norms in float32.
 * @param tensors by GGUF's names; a matrix is [outputs, inputs]
 * @returns the names of the files
 * @throws HubLayoutError where tokens are no bytes or a tensor has no name there, DiskFullError, StoreUnwritableError
 */
export async function writeHubDecoder(
  folder: string,
  decoder: ByteDecoder,
  tensors: readonly FiledTensor[],
): Promise<string[]> {
  if (decoder.vocabulary !== BYTES) {
    throw new HubLayoutError(folder, `it has ${decoder.vocabulary} tokens, and those of texts are ${BYTES} bytes`)
  }
  const filed = tensors.map((tensor): FiledTensor => {
    const name = hubName(tensor.name)
    if (name === undefined) throw new HubLayoutError(folder, `its tensor ${tensor.name} has no name there`)
    return { ...tensor, name, type: tensor.dims.length === 2 ? 'F16' : 'F32' }
  })
  await makeFolders(folder)
  await writeSafetensors(join(folder, FILES.weights), filed, { format: 'pt' })
  await writeFileAtomic(join(folder, FILES.tokenizer), `${JSON.stringify(byteTokenizer())}\n`, { exported: true })
  await writeFileAtomic(join(folder, FILES.config), `${JSON.stringify(configOf(decoder), null, 2)}\n`, {
    exported: true,
  })
  return [FILES.config, FILES.tokenizer, FILES.weights]
}

/** A path that would be the `hub/` of a run which has none. @throws HubLayoutError */
export async function checkHubFolder(path: string): Promise<void> {
  const absolute = resolve(path)
  const run = dirname(absolute)
  const model = join(run, 'model.onnx')
  if (basename(absolute) !== HUB_FOLDER || (await stat(model).catch(() => undefined)) === undefined) return
  throw new HubLayoutError(
    path,
    'the model beside it is no decoder that was trained on texts',
    `weft import ${join(dirname(path), 'model.onnx')} takes that one as it is`,
  )
}

function configOf(decoder: ByteDecoder): object {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: decoder.vocabulary,
    hidden_size: decoder.width,
    intermediate_size: decoder.hidden,
    num_hidden_layers: decoder.layers,
    num_attention_heads: decoder.heads,
    num_key_value_heads: decoder.kv_heads,
    max_position_embeddings: decoder.context,
    rms_norm_eps: decoder.norm_epsilon,
    rope_theta: decoder.rope_base,
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: decoder.tied,
    bos_token_id: null,
    eos_token_id: null,
    torch_dtype: 'float16',
  }
}
