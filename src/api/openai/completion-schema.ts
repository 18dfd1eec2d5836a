/** The body of `POST /v1/completions`. */
import { z } from 'zod'
import type { PromptInput } from '../../pipeline/index.ts'
import { text, tokenIds, whole } from '../fields.ts'
import { MAX_CHOICES, MAX_PROMPTS, MAX_TOP_LOGPROBS } from '../limits.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'
import { SHARED_FIELDS } from './sampling.ts'

export const completionSchema = z.object({
  ...SHARED_FIELDS,
  prompt: z.union([text, tokenIds, z.array(text).min(1).max(MAX_PROMPTS), z.array(tokenIds).min(1).max(MAX_PROMPTS)], {
    error: `expected a string, an array of token ids, or an array of at most ${MAX_PROMPTS} of these`,
  }),
  logprobs: whole(0, MAX_TOP_LOGPROBS).nullish(),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: whole(1, MAX_CHOICES).nullish(),
})

export type CompletionBody = z.output<typeof completionSchema>

/** OpenAI's default. */
export const DEFAULT_COMPLETION_TOKENS = 16

export function completionPrompts(body: CompletionBody): PromptInput[] {
  const { prompt } = body
  if (typeof prompt === 'string') return [{ kind: 'text', text: prompt }]
  if (isIds(prompt)) return [{ kind: 'ids', ids: prompt }]
  return prompt.map((one) => (typeof one === 'string' ? { kind: 'text', text: one } : { kind: 'ids', ids: one }))
}

function isIds(prompt: Exclude<CompletionBody['prompt'], string>): prompt is number[] {
  return prompt.every((one) => typeof one === 'number')
}

/** @throws InvalidParameterError, UnsupportedParameterError */
export function checkCompletion(body: CompletionBody): void {
  if (body.suffix !== null && body.suffix !== undefined && body.suffix !== '')
    throw new UnsupportedParameterError('suffix', 'text is only continued')
  if (body.echo === true && body.logprobs !== null && body.logprobs !== undefined)
    throw new UnsupportedParameterError('echo', 'together with logprobs')
  const choices = body.n ?? 1
  if ((body.best_of ?? choices) !== choices) throw new UnsupportedParameterError('best_of', 'other than n')
  if (choices * completionPrompts(body).length > MAX_PROMPTS)
    throw new InvalidParameterError('n', `at most ${MAX_PROMPTS} choices over all prompts`)
}
