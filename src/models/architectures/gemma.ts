/** Gemma (arXiv 2403.08295): a scaled embedding, a gated GELU, heads wider than their share of the width. */
import type { Architecture } from './architecture.ts'

export const GEMMA: Architecture = {
  family: 'gemma',
  gguf: ['gemma'],
  hub: ['gemma'],
  graph: { activation: 'gelu_tanh' },
  scaledEmbedding: true,
  ggufPairs: 'halves',
  defaults: { ropeBase: 10_000, normEpsilon: 1e-6, headDim: 256 },
  // Its first config files said `gelu` and meant the approximation.
  safetensors: { tied: true, normOffset: 1, activations: ['gelu_pytorch_tanh', 'gelu'] },
}
