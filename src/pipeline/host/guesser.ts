/**
 * Chooses what a small model takes to be the next token of another's text. It draws with the same seed and options as the other
 * does, so that where the two models agree they choose alike; what was chosen before it learns from the ids that it is given.
 */
import { createSampler } from './sampler.ts'
import type { Sampler, SamplerInit } from './sampler.ts'

/** @param from position of the text's first token */
export function createGuesser(init: SamplerInit, from: number): Sampler {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = init.sampling
  const isPlain = repetitionPenalty === 1 && presencePenalty === 0 && frequencyPenalty === 0
  const plain = { sampling: init.sampling, logprobs: -1, history: init.history }
  const tokens: number[] = []
  return {
    given(ids, position) {
      const skip = Math.max(0, from - position)
      if (skip >= ids.length) return
      tokens.length = Math.min(tokens.length, position + skip - from)
      tokens.push(...ids.subarray(skip))
    },
    sample(logits, position) {
      // Penalties count what was chosen, and none of it is sure: each choice counts anew.
      const generated = isPlain ? [] : tokens.slice(0, position - from)
      const { id } = createSampler({ ...plain, generated }).sample(logits, position)
      return { id, lead: logits[id]! - largestBut(logits, id) }
    },
  }
}

function largestBut(logits: Float32Array, but: number): number {
  let most = -Infinity
  for (let id = 0; id < logits.length; id++) if (logits[id]! > most && id !== but) most = logits[id]!
  return most
}
