/** `POST /v1/chat/completions`. */
import type { GenerateRequest } from '../../pipeline/index.ts'
import { check } from '../check.ts'
import type { Exchange } from '../exchange.ts'
import { chatLogprobs, chatMessages, chatSchema } from './chat-schema.ts'
import type { ChatBody } from './chat-schema.ts'
import type { Asked, Given } from '../resume/asked.ts'
import { formatOf } from './answer-format.ts'
import type { AskedFormat } from './answer-format.ts'
import { ChatAnswer } from './chat-answer.ts'
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
  const format = formatOf(fields)
  const requests = chatRequests(fields, format, fields.seed ?? asked.given.seed)
  const includeUsage = fields.stream_options?.include_usage === true
  const shape = chatShape(asked.given, fields, format.tools.length > 0, includeUsage)
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

function chatRequests(fields: ChatBody, { format, tools }: AskedFormat, seed: number): GenerateRequest[] {
  const input = { kind: 'chat', messages: chatMessages(fields), ...(tools.length === 0 ? {} : { tools }) } as const
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens ?? undefined
  const logprobs = chatLogprobs(fields)
  return Array.from({ length: fields.n ?? 1 }, (_, index) =>
    requestOf(fields, {
      input,
      sampling: samplingOf(fields, seed, index),
      ...(format === undefined ? {} : { format }),
      maxTokens,
      logprobs,
    }),
  )
}

function chatShape({ answer, created }: Given, fields: ChatBody, callsTools: boolean, usage: boolean): GenerationShape {
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
  const more = usage ? { usage: null } : {}
  const chunk = (index: number, delta: object, finish: string | null, logprobs: ChatLogprobs | null): object => ({
    ...envelope('chat.completion.chunk'),
    choices: [{ index, delta, logprobs, finish_reason: finish }],
    ...more,
  })
  const answers = new Map<number, ChatAnswer>()
  const answerOf = (index: number): ChatAnswer => {
    const known = answers.get(index) ?? new ChatAnswer(callsTools ? `call_${answer}_${index}` : null)
    answers.set(index, known)
    return known
  }
  return {
    begin: (head) => {
      fingerprint = head.fingerprint
    },
    chunkStart: (index) => chunk(index, { role: 'assistant', content: '', refusal: null }, null, null),
    chunkPiece: (index, piece) => {
      const logprobs = wanted ? logprobsOf([piece]) : null
      const deltas = answerOf(index).push(piece.text)
      // A token whose text is held back is told of all the same.
      if (deltas.length === 0 && logprobs !== null) return [chunk(index, {}, null, logprobs)]
      return deltas.map((delta, at) => chunk(index, delta, null, at === 0 ? logprobs : null))
    },
    chunkEnd: (index, finish, weft) => [
      ...answerOf(index)
        .end()
        .map((delta) => chunk(index, delta, null, null)),
      { ...chunk(index, {}, answerOf(index).finish(finish), null), weft },
    ],
    chunkUsage: (total) => ({ ...envelope('chat.completion.chunk'), choices: [], usage: total }),
    whole: (choices, total, weft) => ({
      ...envelope('chat.completion'),
      choices: choices.map((choice, index) => wholeChoice(choice, index, answerOf(index), wanted)),
      usage: total,
      weft,
    }),
  }
}

function wholeChoice(choice: Finished, index: number, answer: ChatAnswer, wanted: boolean): object {
  return {
    index,
    message: { role: 'assistant', ...answer.message(choice.text), refusal: null },
    logprobs: wanted ? logprobsOf(choice.pieces) : null,
    finish_reason: answer.finish(choice.finish),
  }
}

function logprobsOf(pieces: readonly Piece[]): ChatLogprobs {
  const content = pieces.flatMap(({ token, top }) => (token === null ? [] : [{ ...token, top_logprobs: top }]))
  return { content, refusal: null }
}
