/** The body of `POST /v1/chat/completions`. */
import { z } from 'zod'
import type { ChatMessage } from '../../pipeline/index.ts'
import { defined } from '../defined.ts'
import { name, text, whole } from '../fields.ts'
import { MAX_TOKENS, MAX_TOP_LOGPROBS } from '../limits.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'
import { SHARED_FIELDS } from './sampling.ts'

const part = z.object({ type: z.string().max(64), text: text.optional() })

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([text, z.array(part)], { error: 'expected a string or an array of text parts' }).nullish(),
  name: name.nullish(),
  tool_calls: z.array(z.unknown()).nullish(),
})

export const chatSchema = z.object({
  ...SHARED_FIELDS,
  messages: z.array(message).min(1),
  max_completion_tokens: whole(1, MAX_TOKENS).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: whole(0, MAX_TOP_LOGPROBS).nullish(),
})

export type ChatBody = z.output<typeof chatSchema>

/** Alternatives a token, undefined for none. */
export function chatLogprobs(body: ChatBody): number | undefined {
  const top = body.top_logprobs ?? undefined
  if (body.logprobs === true) return top ?? 0
  if (top !== undefined && top > 0)
    throw new InvalidParameterError('top_logprobs', 'only allowed when logprobs is true')
  return undefined
}

export function chatMessages(body: ChatBody): ChatMessage[] {
  return body.messages.map((one, index) => {
    if ((one.tool_calls?.length ?? 0) > 0)
      throw new UnsupportedParameterError(`messages[${index}].tool_calls`, 'this version calls no tools')
    return defined({
      // OpenAI renamed `system`; the templates of open models know only the old name.
      role: one.role === 'developer' ? 'system' : one.role,
      content: contentText(one, index),
      name: one.name ?? undefined,
    })
  })
}

function contentText(one: ChatBody['messages'][number], index: number): string {
  const { content } = one
  if (typeof content === 'string') return content
  if (content === null || content === undefined) {
    if (one.role === 'assistant') return ''
    throw new InvalidParameterError(`messages[${index}].content`, 'missing')
  }
  return content.map((piece, at) => partText(piece, `messages[${index}].content[${at}]`)).join('')
}

function partText(piece: z.output<typeof part>, where: string): string {
  if (piece.type !== 'text') throw new UnsupportedParameterError(`${where}.type`, 'only text parts are understood')
  if (piece.text === undefined) throw new InvalidParameterError(`${where}.text`, 'missing')
  return piece.text
}
