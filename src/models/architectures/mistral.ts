/** Mistral (arXiv 2310.06825): a Llama, the first one with a sliding window. GGUF files call it llama. */
import type { Architecture } from './architecture.ts'
import { LLAMA } from './llama.ts'

export const MISTRAL: Architecture = {
  ...LLAMA,
  family: 'mistral',
  hub: ['mistral'],
  windowed: 'all',
  defaults: { ...LLAMA.defaults, window: 4096 },
}
