/** The body of `POST /v1/completions`. */
import { z } from 'zod'
import type { PromptInput } from '../../pipeline/index.ts'
import { text, tokenIds, whole } from '../fields.ts'
import { MAX_CHOICES, MAX_PROMPTS, MAX_TOKENS, MAX_TOP_LOGPROBS } from '../limits.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'
import { SHARED_FIELDS } from './sampling.ts'

export const completionSchema = z.object({
  ...SHARED_FIELDS,
  prompt: z.union([text, tokenIds, z.array(text).min(1).max(MAX_PROMPTS), z.array(tokenIds).min(1).max(MAX_PROMPTS)], {
    error: `expected a string, an array of token ids, or an array of at most ${MAX_PROMPTS} of these`,
  }),
  max_tokens: whole(0, MAX_TOKENS).nullish(),
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

/** Whether tokens of the prompt are told as those of an answer are, and computed so; else its text alone is, where it is echoed. */
export function tellsPrompt({ echo, logprobs, max_tokens: most }: CompletionBody): boolean {
  return echo === true && ((logprobs !== null && logprobs !== undefined) || most === 0)
}

/** @throws InvalidParameterError, UnsupportedParameterError */
export function checkCompletion(body: CompletionBody): void {
  if (body.suffix !== null && body.suffix !== undefined && body.suffix !== '')
    throw new UnsupportedParameterError('suffix', 'text is only continued')
  if (body.max_tokens === 0 && body.echo !== true)
    throw new InvalidParameterError('max_tokens', 'at least 1 where nothing is echoed')
  const choices = body.n ?? 1
  if ((body.best_of ?? choices) !== choices) throw new UnsupportedParameterError('best_of', 'other than n')
  if (choices * completionPrompts(body).length > MAX_PROMPTS)
    throw new InvalidParameterError('n', `at most ${MAX_PROMPTS} choices over all prompts`)
}
