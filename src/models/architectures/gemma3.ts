/**
 * Gemma 3 (arXiv 2503.19786): five layers with a window and a rotary base of their own to one without, norms of q and k
 * in place of the soft caps. GGUF files name neither the pattern nor the base.
 */
import type { Architecture } from './architecture.ts'
import { GEMMA2 } from './gemma2.ts'

export const GEMMA3: Architecture = {
  ...GEMMA2,
  family: 'gemma3',
  gguf: ['gemma3'],
  hub: ['gemma3_text', 'gemma3'],
  graph: { activation: 'gelu_tanh', post_norms: true, qk_norm: true },
  windowed: { allButLastOf: 6 },
  windowRopeBase: 10_000,
  // 27B.
  scaledByWidth: [62],
  // Files of the models that also see leave out most of it.
  defaults: { ropeBase: 1_000_000, normEpsilon: 1e-6, heads: 8, kvHeads: 4, headDim: 256, context: 131_072 },
}
