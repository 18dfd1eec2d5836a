/** Which form each matrix of a Llama model gets under a weight format: by quality alone, the same on every machine. */
import type { WeightFormat } from '../manifest.ts'

/** A weight format as the packer knows it: `blocks8` in 8-bit blocks, `rows` as row int8. */
export type MatrixForm = Exclude<WeightFormat, 'int8'> | 'blocks8' | 'rows'

export type MatrixPart = 'attn_q' | 'attn_k' | 'attn_v' | 'attn_output' | 'ffn_gate' | 'ffn_up' | 'ffn_down' | 'head'

const INT8_FORMS: Readonly<Record<MatrixPart, MatrixForm>> = {
  attn_q: 'rows',
  attn_k: 'rows',
  attn_v: 'rows',
  attn_output: 'rows',
  ffn_gate: 'rows',
  ffn_up: 'rows',
  ffn_down: 'rows',
  head: 'rows',
}

export function matrixForm(part: MatrixPart, weights: WeightFormat): MatrixForm {
  return weights === 'int8' ? INT8_FORMS[part] : weights
}

/** From a tensor's name: `blk.3.ffn_up.weight`; what is no layer's belongs to the head. */
export function matrixPart(tensor: string): MatrixPart {
  const part = tensor.split('.').at(-2) ?? ''
  return part in INT8_FORMS ? (part as MatrixPart) : 'head'
}
