/** Qwen 3 (arXiv 2505.09388): norms of each head of q and k in place of the biases. */
import type { Architecture } from './architecture.ts'

export const QWEN3: Architecture = {
  family: 'qwen3',
  gguf: ['qwen3'],
  hub: ['qwen3'],
  graph: { qk_norm: true },
  ggufPairs: 'halves',
  windowed: 'all',
  defaults: { ropeBase: 10_000, normEpsilon: 1e-6, headDim: 128 },
  safetensors: { tied: false, activations: ['silu'], windowSwitch: true },
}
