/** What a small model takes to be the next token: drawn as the answer's own head would draw it, whatever it guessed before. */
import { describe, expect, it } from 'vitest'
import { createGuesser } from '../../../src/pipeline/host/guesser.ts'
import { createSampler } from '../../../src/pipeline/host/sampler.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'

const PROMPT = [3, 4, 5, 6]
const VOCABULARY = 60
const logitsAt = (row: number): Float32Array =>
  Float32Array.from({ length: VOCABULARY }, (_, id) => Math.sin(id * 5.1 + row * 1.7) * 4)
const penalties = { repetitionPenalty: 1.4, presencePenalty: 0.5, frequencyPenalty: 0.3 }

describe.each([
  ['greedy', {}],
  ['drawn', { temperature: 0.9, topK: 20, seed: 11 }],
  ['drawn, with penalties', { temperature: 0.9, seed: 12, ...penalties }],
  ['greedy, with penalties', penalties],
])('%s', (_, options) => {
  const init = { sampling: { ...GREEDY, ...options }, logprobs: -1, history: [3, 4, 5, 6] }

  it('is what the head would choose behind the same text, also where it was wrong before', () => {
    const head = createSampler(init)
    const guesser = createGuesser(init, PROMPT.length)
    guesser.given!(Int32Array.from(PROMPT), 0)
    for (let position = PROMPT.length; position < 40; position++) {
      const logits = logitsAt(position)
      const guess = guesser.sample(logits, position)
      const { id } = head.sample(logits, position)
      expect(guess.id).toBe(id)
      // It goes on two tokens into a text that is not to be, and comes back.
      guesser.given!(Int32Array.of((id + 7) % VOCABULARY), position)
      guesser.sample(logits, position + 1)
      guesser.given!(Int32Array.of((id + 9) % VOCABULARY), position + 1)
      guesser.sample(logits, position + 2)
      guesser.given!(Int32Array.of(id), position)
    }
  })

  it('tells by how much it leads', () => {
    const guesser = createGuesser(init, PROMPT.length)
    const logits = new Float32Array(VOCABULARY).fill(-9)
    logits[20] = 5
    logits[21] = 3.5
    const { id, lead } = guesser.sample(logits, PROMPT.length)
    expect(lead).toBe(id === 20 ? 1.5 : logits[id]! - 5)
  })
})
