/** StableLM 1 and 2 (arXiv 2402.17834): layer norms with biases, a quarter of each head rotated. */
import type { Architecture } from './architecture.ts'

export const STABLELM: Architecture = {
  family: 'stablelm',
  gguf: ['stablelm'],
  hub: ['stablelm'],
  graph: { norm: 'layer' },
  ggufPairs: 'halves',
  defaults: { ropeBase: 10_000, normEpsilon: 1e-5, rotated: 0.25 },
  safetensors: { tied: false, activations: ['silu'], refused: ['use_parallel_residual', 'qk_layernorm'] },
}
