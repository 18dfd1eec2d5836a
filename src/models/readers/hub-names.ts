/** The tensors of the hub's files under GGUF's names. */
import type { Architecture } from '../architectures/index.ts'
import { EMBEDDING, OUTPUT } from '../decoder-tensors.ts'
import type { LayerPart } from '../decoder-tensors.ts'
import type { FileTensor } from './gguf-tensors.ts'

const PARTS: Readonly<Record<string, string> & Record<LayerPart, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_qkv: 'self_attn.qkv_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}
/** Gate above up, as GGUF has it under the name of up. */
const FUSED_UP = 'mlp.gate_up_proj'

const WHOLE: ReadonlyMap<string, string> = new Map([
  ['model.embed_tokens.weight', EMBEDDING],
  ['model.norm.weight', 'output_norm.weight'],
  ['model.norm.bias', 'output_norm.bias'],
  ['lm_head.weight', OUTPUT],
])

/** Of models that also see: the language model's own part of a name, and what belongs to the eyes. */
const WRAPPED = /^(?:language_model\.(?=model\.|lm_head\.)|model\.language_model\.)/
const EYES = /^(?:model\.)?(?:vision_tower|multi_modal_projector|vision_model)\./
/** Buffers that older files have; computed from the configuration. */
const IGNORED = /\.rotary_emb\.inv_freq$/

/** Of a part of a Llama's layer. */
export const hubPart = (part: LayerPart): string => PARTS[part]

/** A Llama's tensor by the hub's name; undefined: it has none there. */
export function hubName(own: string): string | undefined {
  const whole = [...WHOLE].find(([, name]) => name === own)
  if (whole !== undefined) return whole[0]
  const layer = /^blk\.(\d{1,4})\.(\w+)\.(weight|bias)$/.exec(own)
  const part = layer === null ? undefined : PARTS[layer[2]!]
  return part === undefined ? undefined : `model.layers.${layer![1]}.${part}.${layer![3]}`
}

/**
 * Tensors whose names mean nothing keep them, to be refused by name.
 * @param tied the head is the embedding: a copy of it in the file is left out
 */
export function hubTensors(
  tensors: ReadonlyMap<string, FileTensor>,
  { safetensors }: Architecture,
  tied: boolean,
): Map<string, FileTensor> {
  const parts = { ...PARTS, ...safetensors.names }
  const byHubName = new Map(Object.entries(parts).map(([own, hub]) => [hub, own]))
  byHubName.set(FUSED_UP, 'ffn_up')
  const renamed = new Map<string, FileTensor>()
  for (const [name, tensor] of tensors) {
    if (EYES.test(name) || IGNORED.test(name)) continue
    const own = ownName(
      name.replace(WRAPPED, (prefix) => (prefix.startsWith('model.') ? 'model.' : '')),
      byHubName,
    )
    if (tied && own === OUTPUT) continue
    renamed.set(own, { ...tensor, name: own })
  }
  return renamed
}

function ownName(name: string, byHubName: ReadonlyMap<string, string>): string {
  const whole = WHOLE.get(name)
  if (whole !== undefined) return whole
  const layer = /^model\.layers\.(\d{1,4})\.(.+)\.(weight|bias)$/.exec(name)
  const part = layer === null ? undefined : byHubName.get(layer[2]!)
  return layer === null || part === undefined ? name : `blk.${layer[1]}.${part}.${layer[3]}`
}
