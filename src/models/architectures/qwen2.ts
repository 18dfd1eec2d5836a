/** Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115): q, k and v have biases. */
import type { Architecture } from './architecture.ts'

export const QWEN2: Architecture = {
  family: 'qwen2',
  gguf: ['qwen2'],
  hub: ['qwen2'],
  graph: { biases: ['attn_q', 'attn_k', 'attn_v'] },
  ggufPairs: 'halves',
  windowed: 'all',
  defaults: { ropeBase: 10_000, normEpsilon: 1e-6 },
  safetensors: { tied: false, activations: ['silu'], windowSwitch: true },
}
