/** `POST /v1/completions`: raw text or token ids, no chat template. */
import type { GenerateRequest, PromptInput } from '../../pipeline/index.ts'
import { check } from '../check.ts'
import type { Exchange } from '../exchange.ts'
import type { Asked, Given } from '../resume/asked.ts'
import {
  checkCompletion,
  completionPrompts,
  completionSchema,
  DEFAULT_COMPLETION_TOKENS,
  tellsPrompt,
} from './completion-schema.ts'
import type { CompletionBody } from './completion-schema.ts'
import { answerGeneration } from './generation.ts'
import type { GenerationShape, Piece } from './generation.ts'
import type { OpenAiNeeds } from './needs.ts'
import { checkStreamOptions, refuseUnsupported, requestOf, samplingOf } from './sampling.ts'
import type { CompletionLogprobs, Envelope } from './shapes.ts'
import type { TokenText } from './token-texts.ts'

export async function answerCompletion(
  needs: OpenAiNeeds,
  exchange: Exchange,
  body: unknown,
  asked: Asked,
): Promise<unknown> {
  refuseUnsupported(body)
  const fields = check(completionSchema, body)
  checkStreamOptions(fields)
  checkCompletion(fields)
  const prompts = completionPrompts(fields)
  const echoes = await echoTexts(needs, exchange, fields, prompts)
  const includeUsage = fields.stream_options?.include_usage === true
  return answerGeneration(
    needs,
    exchange,
    {
      model: fields.model,
      operation: 'text_completion',
      requests: completionRequests(fields, prompts, fields.seed ?? asked.given.seed),
      choicesPerPrompt: fields.n ?? 1,
      stream: fields.stream === true,
      includeUsage,
      body,
      asked,
      resumeS: fields.weft?.resume_s,
    },
    completionShape(asked.given, fields, includeUsage, echoes),
  )
}

/** Choices are numbered as OpenAI does: all of the first prompt, then all of the second. */
function completionRequests(fields: CompletionBody, prompts: readonly PromptInput[], seed: number): GenerateRequest[] {
  const maxTokens = fields.max_tokens ?? DEFAULT_COMPLETION_TOKENS
  const echo = tellsPrompt(fields) ? { echo: true } : {}
  const logprobs = fields.logprobs ?? undefined
  return prompts.flatMap((input) =>
    Array.from({ length: fields.n ?? 1 }, (_, index) =>
      requestOf(fields, { input, sampling: samplingOf(fields, seed, index), maxTokens, logprobs, ...echo }),
    ),
  )
}

/** What stands before each choice: its prompt where `echo` was asked for, else nothing. */
async function echoTexts(
  needs: OpenAiNeeds,
  exchange: Exchange,
  fields: CompletionBody,
  prompts: readonly PromptInput[],
): Promise<string[]> {
  if (fields.echo !== true || tellsPrompt(fields)) return []
  const texts = await Promise.all(
    prompts.map(async (prompt) => {
      if (prompt.kind === 'ids') return needs.peer.detokenize(fields.model, prompt.ids, exchange.signal)
      return prompt.kind === 'text' ? prompt.text : ''
    }),
  )
  return texts.flatMap((text) => Array.from({ length: fields.n ?? 1 }, () => text))
}

function completionShape(
  { answer, created }: Given,
  fields: CompletionBody,
  includeUsage: boolean,
  echoes: readonly string[],
): GenerationShape {
  const id = `cmpl-${answer}`
  let fingerprint: string | null = null
  const envelope = (): Envelope => ({
    id,
    object: 'text_completion',
    created,
    model: fields.model,
    system_fingerprint: fingerprint,
  })
  const wanted = fields.logprobs !== null && fields.logprobs !== undefined
  const logprobsOf = (pieces: readonly Piece[]): CompletionLogprobs | null =>
    wanted ? completionLogprobs(pieces, (fields.logprobs ?? 0) > 0) : null
  const usage = includeUsage ? { usage: null } : {}
  const chunk = (index: number, text: string, finish: string | null, pieces: readonly Piece[]): object => ({
    ...envelope(),
    choices: [{ index, text, logprobs: pieces.length === 0 ? null : logprobsOf(pieces), finish_reason: finish }],
    ...usage,
  })
  return {
    begin: (head) => {
      fingerprint = head.fingerprint
    },
    chunkStart: (index) => {
      const echo = echoes[index] ?? ''
      return echo === '' ? undefined : chunk(index, echo, null, [])
    },
    chunkPiece: (index, piece) => [chunk(index, piece.text, null, [piece])],
    chunkEnd: (index, finish, weft) => [{ ...chunk(index, '', finish, []), weft }],
    chunkUsage: (total) => ({ ...envelope(), choices: [], usage: total }),
    whole: (choices, total, weft) => ({
      ...envelope(),
      choices: choices.map((choice, index) => ({
        index,
        text: (echoes[index] ?? '') + choice.text,
        logprobs: logprobsOf(choice.pieces),
        finish_reason: choice.finish,
      })),
      usage: total,
      weft,
    }),
  }
}

function completionLogprobs(pieces: readonly Piece[], withTop: boolean): CompletionLogprobs {
  const tokens = pieces.flatMap(({ token, top, offset }) => (token === null ? [] : [{ token, top, offset }]))
  return {
    tokens: tokens.map(({ token }) => token.token),
    token_logprobs: tokens.map(({ token }) => token.logprob),
    top_logprobs: withTop ? tokens.map(({ token, top }) => topRecord(token, top)) : null,
    text_offset: tokens.map(({ offset }) => offset),
  }
}

/** The chosen token always stands among them, as OpenAI has it. */
function topRecord(token: TokenText, top: readonly TokenText[]): Record<string, number> | null {
  if (token.logprob === null) return null
  return Object.fromEntries([token, ...top].map((one) => [one.token, one.logprob!]))
}
