/** Gemma 2 (arXiv 2408.00118): norms on both sides, soft caps, a window in every other layer. */
import type { Architecture } from './architecture.ts'
import { GEMMA } from './gemma.ts'

/** Norms around attention and feed-forward, as the hub's files call them. */
export const GEMMA_NORM_NAMES = {
  post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
} as const

export const GEMMA2: Architecture = {
  ...GEMMA,
  family: 'gemma2',
  gguf: ['gemma2'],
  hub: ['gemma2'],
  graph: { activation: 'gelu_tanh', post_norms: true },
  windowed: { allButLastOf: 2 },
  // 27B.
  scaledByWidth: [46],
  defaults: { ...GEMMA.defaults, window: 4096, attentionSoftcap: 50, logitSoftcap: 30 },
  safetensors: {
    tied: true,
    normOffset: 1,
    activations: ['gelu_pytorch_tanh'],
    scaled: true,
    names: GEMMA_NORM_NAMES,
    refused: ['use_bidirectional_attention'],
  },
}
