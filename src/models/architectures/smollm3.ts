/** SmolLM3: every fourth layer has no rotary positions (NoPE: Yang et al., arXiv 2501.18795). */
import type { Architecture } from './architecture.ts'

export const SMOLLM3: Architecture = {
  family: 'smollm3',
  gguf: ['smollm3'],
  hub: ['smollm3'],
  graph: {},
  ggufPairs: 'adjacent',
  windowed: 'unrotated',
  unrotated: { lastOf: 4 },
  defaults: { ropeBase: 2_000_000, normEpsilon: 1e-6 },
  safetensors: { tied: true, activations: ['silu'], windowSwitch: true },
}
