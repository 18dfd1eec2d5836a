/** Mistral (arXiv 2310.06825): a Llama, the first one with a sliding window. GGUF files call it llama. */
import type { Architecture } from './architecture.ts'
import { LLAMA } from './llama.ts'

export const MISTRAL: Architecture = {
  ...LLAMA,
  family: 'mistral',
  // Small 3.1 and later also see; of `mistral3` the text part is one of these, or none that weft runs.
  hub: ['mistral', 'ministral', 'mistral3'],
  windowed: 'all',
  defaults: { ...LLAMA.defaults, window: 4096 },
}
