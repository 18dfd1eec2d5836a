/** A decoder that was trained on bytes, as the hub lays out a Llama: what `weft import` takes, to be run and served. */
import { byteTokenizer, writeSafetensors } from '../../models/index.ts'
import { makeFolders } from '../../store/index.ts'
import { join } from 'node:path'
import type { ModelSpec } from '../plan/schema.ts'
import { EPSILON, hiddenOf, ROTARY_BASE } from '../zoo/decoder.ts'
import { RUN_FILES } from './folder.ts'
import type { RunFolder } from './folder.ts'
import type { Tensors } from './stepper.ts'

type DecoderSpec = Extract<ModelSpec, { kind: 'decoder' }>

const FILES = ['config.json', 'tokenizer.json', 'model.safetensors'] as const
const BYTES = 256

/** The parameters of a block, and their names on the hub. A matrix is turned there: [outputs, inputs]. */
const PARTS: Readonly<Record<string, string>> = {
  norm0: 'input_layernorm',
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  output: 'self_attn.o_proj',
  norm1: 'post_attention_layernorm',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
}

/** In half precision. @param length of a text in training: the model has seen no further. @returns the files, by their paths in the folder of the run */
export async function writeHubModel(
  folder: RunFolder,
  spec: DecoderSpec,
  parameters: Tensors,
  length: number,
): Promise<string[]> {
  const [config, tokenizer, weights] = FILES.map((name) => join(RUN_FILES.hub, name)) as [string, string, string]
  await makeFolders(join(folder.path, RUN_FILES.hub))
  const tensors = Object.entries(parameters).map(([name, { dims, data }]) => {
    const isTurned = dims.length === 2 && name !== EMBEDDING
    const values = data as Float32Array
    const type: 'F16' | 'F32' = dims.length === 2 ? 'F16' : 'F32'
    const own = { name: hubName(name), type }
    return isTurned
      ? { ...own, dims: [dims[1]!, dims[0]!], values: turned(values, dims[0]!, dims[1]!) }
      : { ...own, dims, values }
  })
  await writeSafetensors(join(folder.path, weights), tensors, { format: 'pt' })
  await folder.write(tokenizer, `${JSON.stringify(byteTokenizer())}\n`)
  await folder.write(config, `${JSON.stringify(configOf(spec, length), null, 2)}\n`)
  return [config, tokenizer, weights]
}

const EMBEDDING = 'embedding.weight'

function hubName(name: string): string {
  if (name === EMBEDDING) return 'model.embed_tokens.weight'
  if (name === 'head.weight') return 'lm_head.weight'
  if (name === 'norm.weight') return 'model.norm.weight'
  const [, layer, part] = /^layers\.(\d+)\.(\w+)\.weight$/.exec(name)!
  return `model.layers.${layer}.${PARTS[part!]!}.weight`
}

function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!)
}

function configOf(spec: DecoderSpec, length: number): object {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: BYTES,
    hidden_size: spec.width,
    intermediate_size: hiddenOf(spec),
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.kv_heads ?? spec.heads,
    max_position_embeddings: length,
    rms_norm_eps: EPSILON,
    rope_theta: ROTARY_BASE,
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: spec.tied ?? true,
    bos_token_id: null,
    eos_token_id: null,
    torch_dtype: 'float16',
  }
}
