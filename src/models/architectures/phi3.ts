/** Phi-3 and Phi-4 (arXiv 2404.14219): one matrix for q, k and v, one for gate and up; LongRoPE for long contexts. */
import type { Architecture } from './architecture.ts'

export const PHI3: Architecture = {
  family: 'phi3',
  gguf: ['phi3'],
  hub: ['phi3'],
  graph: {},
  ggufPairs: 'halves',
  ggufFused: true,
  windowed: 'all',
  ggufTokensTakeSpace: true,
  defaults: { ropeBase: 10_000, normEpsilon: 1e-5 },
  safetensors: { tied: false, activations: ['silu'] },
}
