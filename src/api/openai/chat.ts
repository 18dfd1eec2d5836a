/** `POST /v1/chat/completions`. */
import type { GenerateRequest } from '../../pipeline/index.ts'
import { check } from '../check.ts'
import type { Exchange } from '../exchange.ts'
import { chatLogprobs, chatMessages, chatSchema } from './chat-schema.ts'
import type { ChatBody } from './chat-schema.ts'
import type { Asked, Given } from '../resume/asked.ts'
import { answerGeneration } from './generation.ts'
import type { Finished, GenerationShape, Piece } from './generation.ts'
import type { OpenAiNeeds } from './needs.ts'
import { checkStreamOptions, refuseUnsupported, requestOf, samplingOf } from './sampling.ts'
import type { ChatLogprobs, Envelope } from './shapes.ts'

export async function answerChat(
  needs: OpenAiNeeds,
  exchange: Exchange,
  body: unknown,
  asked: Asked,
): Promise<unknown> {
  refuseUnsupported(body)
  const fields = check(chatSchema, body)
  checkStreamOptions(fields)
  const requests = chatRequests(fields, fields.seed ?? asked.given.seed)
  const includeUsage = fields.stream_options?.include_usage === true
  const shape = chatShape(asked.given, fields, includeUsage)
  return answerGeneration(
    needs,
    exchange,
    {
      model: fields.model,
      operation: 'chat',
      requests,
      choicesPerPrompt: requests.length,
      stream: fields.stream === true,
      includeUsage,
      body,
      asked,
      resumeS: fields.weft?.resume_s,
    },
    shape,
  )
}

function chatRequests(fields: ChatBody, seed: number): GenerateRequest[] {
  const input = { kind: 'chat', messages: chatMessages(fields) } as const
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens ?? undefined
  const logprobs = chatLogprobs(fields)
  return Array.from({ length: fields.n ?? 1 }, (_, index) =>
    requestOf(fields, { input, sampling: samplingOf(fields, seed + index), maxTokens, logprobs }),
  )
}

function chatShape({ answer, created }: Given, fields: ChatBody, includeUsage: boolean): GenerationShape {
  const id = `chatcmpl-${answer}`
  let fingerprint: string | null = null
  const envelope = (object: string): Envelope => ({
    id,
    object,
    created,
    model: fields.model,
    system_fingerprint: fingerprint,
  })
  const wanted = fields.logprobs === true
  // With include_usage every chunk has the field, null but in the last.
  const usage = includeUsage ? { usage: null } : {}
  const chunk = (index: number, delta: object, finish: string | null, logprobs: ChatLogprobs | null): object => ({
    ...envelope('chat.completion.chunk'),
    choices: [{ index, delta, logprobs, finish_reason: finish }],
    ...usage,
  })
  return {
    begin: (head) => {
      fingerprint = head.fingerprint
    },
    chunkStart: (index) => chunk(index, { role: 'assistant', content: '', refusal: null }, null, null),
    chunkPiece: (index, piece) => chunk(index, { content: piece.text }, null, wanted ? logprobsOf([piece]) : null),
    chunkEnd: (index, finish, weft) => ({ ...chunk(index, {}, finish, null), weft }),
    chunkUsage: (total) => ({ ...envelope('chat.completion.chunk'), choices: [], usage: total }),
    whole: (choices, total, weft) => ({
      ...envelope('chat.completion'),
      choices: choices.map((choice, index) => wholeChoice(choice, index, wanted)),
      usage: total,
      weft,
    }),
  }
}

function wholeChoice(choice: Finished, index: number, wanted: boolean): object {
  return {
    index,
    message: { role: 'assistant', content: choice.text, refusal: null },
    logprobs: wanted ? logprobsOf(choice.pieces) : null,
    finish_reason: choice.finish,
  }
}

function logprobsOf(pieces: readonly Piece[]): ChatLogprobs {
  const content = pieces.flatMap(({ token, top }) => (token === null ? [] : [{ ...token, top_logprobs: top }]))
  return { content, refusal: null }
}
