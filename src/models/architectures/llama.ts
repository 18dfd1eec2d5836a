/** Llama 1 to 3 (Touvron et al., arXiv 2302.13971), and what has its graph: SmolLM, TinyLlama, Yi and many others. */
import type { Architecture } from './architecture.ts'

export const LLAMA: Architecture = {
  family: 'llama',
  gguf: ['llama'],
  hub: ['llama'],
  graph: {},
  ggufPairs: 'adjacent',
  defaults: { ropeBase: 10_000, normEpsilon: 1e-6 },
  safetensors: { tied: false, activations: ['silu', 'swish'] },
}
