/** An architecture that nobody has, as docs/architectures.md adds it. */
import type { Architecture } from '../../../src/models/architectures/index.ts'

export const TOY: Architecture = {
  family: 'toy',
  gguf: ['toy'],
  hub: ['toy'],
  // Biases of q, k and v, and norms of each head of q and k: of its graph the rest is a Llama's.
  graph: { biases: ['attn_q', 'attn_k', 'attn_v'], qk_norm: true },
  ggufPairs: 'halves',
  // Two layers with a window, then one without; its files give the window's size alone.
  windowed: { allButLastOf: 3 },
  // The second of two layers has no positions.
  unrotated: { lastOf: 2 },
  defaults: { ropeBase: 10_000, normEpsilon: 1e-6 },
  safetensors: { tied: false, activations: ['silu'], names: { attn_norm: 'norm_before', ffn_norm: 'norm_between' } },
}
