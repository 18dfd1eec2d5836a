/** The fields that chat and text completions share, and how they become ours. */
import { z } from 'zod'
import { MAX_BIASES } from '../../pipeline/index.ts'
import type { GenerateRequest, SamplingOptions } from '../../pipeline/index.ts'
import { foldSeed } from '../../util/index.ts'
import { defined } from '../defined.ts'
import { auditMode, laneName, name, placement, priorityName, real, speculateMode, stop, whole } from '../fields.ts'
import { MAX_CHOICES, MAX_DEADLINE_MS, MAX_RESUME_S, MAX_TOKENS } from '../limits.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'

/** Above a million tokens of a vocabulary nothing is cut: no vocabulary is that large. */
const MAX_TOP_K = 1 << 20

/** Token ids as the keys of an object, as OpenAI has them. */
const logitBias = z
  .record(z.string().regex(/^(?:0|[1-9]\d{0,8})$/, { error: 'expected a token id' }), real(-100, 100))
  .refine((biases) => Object.keys(biases).length <= MAX_BIASES, { error: `more than ${MAX_BIASES} tokens` })

const seed = z
  .number()
  .refine((value) => foldSeed(value) !== undefined, { error: 'expected a 64-bit integer' })
  .transform((value) => foldSeed(value)!)

export const SHARED_FIELDS = {
  model: name,
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  n: whole(1, MAX_CHOICES).nullish(),
  seed: seed.nullish(),
  stop: stop.nullish(),
  max_tokens: whole(1, MAX_TOKENS).nullish(),
  temperature: real(0, 2).nullish(),
  top_p: real(0, 1).nullish(),
  top_k: whole(0, MAX_TOP_K).nullish(),
  min_p: real(0, 1).nullish(),
  repetition_penalty: real(0.01, 10).nullish(),
  presence_penalty: real(-2, 2).nullish(),
  frequency_penalty: real(-2, 2).nullish(),
  logit_bias: logitBias.nullish(),
  /** As OpenAI has it, `flex` is cheaper and slower: our batch lane; `priority` comes first. Other tiers are what anybody gets. */
  service_tier: z.string().nullish(),
  weft: z
    .strictObject({
      placement: placement.optional(),
      deadline_ms: whole(1, MAX_DEADLINE_MS).optional(),
      resume_s: whole(0, MAX_RESUME_S).optional(),
      audit: auditMode.optional(),
      audit_rate: real(0, 1).optional(),
      speculate: speculateMode.optional(),
      draft: name.optional(),
      lane: laneName.optional(),
      priority: priorityName.optional(),
    })
    .nullish(),
} as const

const sharedSchema = z.object(SHARED_FIELDS)
export type SharedFields = z.output<typeof sharedSchema>

/** Zero keeps one token, as OpenAI's does; the sampler wants more than nothing. */
const LEAST_TOP_P = 1e-6

/** OpenAI's defaults: temperature 1. `seed` is used for the first choice, `seed + i` for the others; behind the largest comes 0. */
export function samplingOf(fields: SharedFields, seed: number, choice: number): SamplingOptions {
  const left = Number.MAX_SAFE_INTEGER - seed
  return {
    temperature: fields.temperature ?? 1,
    topK: fields.top_k ?? 0,
    topP: Math.max(fields.top_p ?? 1, LEAST_TOP_P),
    minP: fields.min_p ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? 1,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    seed: choice <= left ? seed + choice : choice - left - 1,
    ...biasOf(fields),
  }
}

function biasOf({ logit_bias: biases }: SharedFields): Pick<SamplingOptions, 'logitBias'> {
  const all = Object.entries(biases ?? {}).map(([id, bias]) => [Number(id), bias] as const)
  return all.length === 0 ? {} : { logitBias: all }
}

export function requestOf(
  fields: SharedFields,
  rest: Pick<GenerateRequest, 'echo' | 'input' | 'sampling' | 'format'> & {
    maxTokens: number | undefined
    logprobs: number | undefined
  },
): GenerateRequest {
  return defined({
    model: fields.model,
    ...rest,
    stop: fields.stop ?? undefined,
    placement: fields.weft?.placement,
    deadline: fields.weft?.deadline_ms,
    audit: fields.weft?.audit,
    auditRate: fields.weft?.audit_rate,
    speculate: fields.weft?.speculate,
    draft: fields.weft?.draft,
    priority: fields.weft?.priority ?? (fields.service_tier === 'priority' ? 'high' : undefined),
    lane: fields.weft?.lane ?? (fields.service_tier === 'flex' ? 'batch' : undefined),
  })
}

export function checkStreamOptions(fields: SharedFields): void {
  if (fields.stream_options !== null && fields.stream_options !== undefined && fields.stream !== true)
    throw new InvalidParameterError('stream_options', 'only allowed when stream is true')
}

/** What is not done yet, and the values under which leaving it undone changes nothing. */
const UNSUPPORTED: readonly (readonly [field: string, harmless: (value: unknown) => boolean, why: string])[] = [
  ['functions', isEmpty, 'tools took its place'],
  ['function_call', (value) => value === 'none' || value === 'auto', 'tool_choice took its place'],
  ['audio', isEmpty, 'answers are plain text'],
  ['modalities', (value) => JSON.stringify(value) === '["text"]', 'answers are plain text'],
  ['web_search_options', () => false, 'this version does not search'],
]

/** @throws UnsupportedParameterError: never silently ignored, the answer would not be what was asked for. */
export function refuseUnsupported(body: unknown): void {
  if (typeof body !== 'object' || body === null) return
  for (const [field, harmless, why] of UNSUPPORTED) {
    const value = (body as Record<string, unknown>)[field]
    if (value !== undefined && value !== null && !harmless(value)) throw new UnsupportedParameterError(field, why)
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}
