/** Which matrices have a bias: what a file has in one layer it must have in all. */
import { BIASED_MATRICES } from '../manifest.ts'
import type { BiasedMatrix } from '../manifest.ts'

/** By GGUF's names of the tensors. A fused matrix has one for all of its parts. */
export function biasesOf(tensors: ReadonlyMap<string, unknown>): ReadonlySet<BiasedMatrix> {
  const found = BIASED_MATRICES.filter((matrix) => tensors.has(`blk.0.${matrix}.bias`))
  const fused: BiasedMatrix[] = tensors.has('blk.0.attn_qkv.bias') ? ['attn_q', 'attn_k', 'attn_v'] : []
  return new Set([...found, ...fused])
}
