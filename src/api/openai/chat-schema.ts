/** The body of `POST /v1/chat/completions`. */
import { z } from 'zod'
import { MAX_TOOLS } from '../../pipeline/index.ts'
import type { ChatMessage, ToolCall } from '../../pipeline/index.ts'
import { defined } from '../defined.ts'
import { name, text, whole } from '../fields.ts'
import { MAX_TOKENS, MAX_TOP_LOGPROBS } from '../limits.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'
import { FORMAT_FIELDS } from './answer-format.ts'
import { SHARED_FIELDS } from './sampling.ts'

const part = z.object({ type: z.string().max(64), text: text.optional() })

const toolCall = z.object({
  id: name,
  type: z.literal('function'),
  function: z.object({ name, arguments: text }),
})

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([text, z.array(part)], { error: 'expected a string or an array of text parts' }).nullish(),
  name: name.nullish(),
  tool_calls: z.array(toolCall).max(MAX_TOOLS).nullish(),
  tool_call_id: name.nullish(),
})

export const chatSchema = z.object({
  ...SHARED_FIELDS,
  ...FORMAT_FIELDS,
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
    const calls = one.tool_calls ?? []
    if (calls.length > 0 && one.role !== 'assistant')
      throw new InvalidParameterError(`messages[${index}].tool_calls`, 'only an assistant calls tools')
    return defined({
      // OpenAI renamed `system`; the templates of open models know only the old name.
      role: one.role === 'developer' ? 'system' : one.role,
      content: contentText(one, index),
      name: one.name ?? undefined,
      toolCallId: one.tool_call_id ?? undefined,
      toolCalls:
        calls.length === 0 ? undefined : calls.map((call, at) => callOf(call, `messages[${index}].tool_calls[${at}]`)),
    })
  })
}

/** Templates write arguments as JSON themselves. */
function callOf(call: z.output<typeof toolCall>, where: string): ToolCall {
  try {
    return { id: call.id, name: call.function.name, arguments: JSON.parse(call.function.arguments) as unknown }
  } catch {
    throw new InvalidParameterError(`${where}.function.arguments`, 'expected JSON')
  }
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
