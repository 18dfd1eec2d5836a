/**
 * Tools in a conversation. A template that writes `<tool_call>` itself is given them as transformers would; to any other
 * model they are told in words, in the same form, so that what it answers is read the same way.
 */
import { ChatMessageError } from './errors.ts'
import type { ChatMessage, Tool } from './types.ts'

/** A message as templates read it. */
export interface TemplateMessage {
  readonly role: string
  readonly content: string
  readonly name?: string
  readonly tool_calls?: readonly TemplateCall[]
  readonly tool_call_id?: string
}

interface TemplateCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; readonly arguments: unknown }
}

export interface TemplateTool {
  readonly type: 'function'
  readonly function: { readonly name: string; readonly description: string; readonly parameters: unknown }
}

export interface PreparedChat {
  readonly messages: readonly TemplateMessage[]
  readonly tools: readonly TemplateTool[]
}

export function prepareChat(source: string, messages: readonly ChatMessage[], tools: readonly Tool[]): PreparedChat {
  if (source.includes('<tool_call>')) return { messages: messages.map(templateMessage), tools: tools.map(templateTool) }
  const told = messages.map(toldMessage)
  return { messages: tools.length === 0 ? told : withSystem(told, toolsInWords(tools)), tools: [] }
}

function templateMessage({ role, content, name, toolCalls, toolCallId }: ChatMessage): TemplateMessage {
  const calls = toolCalls?.map(
    (call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } }) as const,
  )
  return {
    role,
    content,
    ...(name === undefined ? {} : { name }),
    ...(calls === undefined ? {} : { tool_calls: calls }),
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
  }
}

function templateTool({ name, description = '', parameters }: Tool): TemplateTool {
  return { type: 'function', function: { name, description, parameters } }
}

/** Roles and fields that a template without tools knows nothing of become text. */
function toldMessage({ role, content, name, toolCalls = [] }: ChatMessage): TemplateMessage {
  if (role === 'tool') return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` }
  const calls = toolCalls.map(
    (call) => `<tool_call>\n${JSON.stringify({ name: call.name, arguments: call.arguments })}\n</tool_call>`,
  )
  const text = [...(content === '' ? [] : [content]), ...calls].join('\n')
  return { role, content: text, ...(name === undefined ? {} : { name }) }
}

function withSystem(messages: readonly TemplateMessage[], words: string): readonly TemplateMessage[] {
  const [first, ...rest] = messages
  if (first?.role !== 'system') return [{ role: 'system', content: words }, ...messages]
  return [{ ...first, content: `${first.content}\n\n${words}` }, ...rest]
}

function toolsInWords(tools: readonly Tool[]): string {
  return [
    'Functions can be called where they help. Each line is one of them, with a JSON Schema of its arguments:',
    ...tools.map((tool) => JSON.stringify(templateTool(tool).function)),
    'A call is written like this, and its result comes back as <tool_response>:',
    '<tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call>',
  ].join('\n')
}

/** @throws ChatMessageError */
export function checkedCalls(message: ChatMessage, index: number): Pick<ChatMessage, 'toolCalls' | 'toolCallId'> {
  const { toolCalls, toolCallId } = message as Readonly<Record<keyof ChatMessage, unknown>>
  if (toolCallId !== undefined && typeof toolCallId !== 'string')
    throw new ChatMessageError(index, 'the id of its call is no text')
  const calls = (toolCalls ?? []) as NonNullable<ChatMessage['toolCalls']>
  if (!Array.isArray(calls) || !calls.every((call) => typeof call?.name === 'string' && typeof call.id === 'string'))
    throw new ChatMessageError(index, 'its calls of tools are malformed')
  return {
    ...(calls.length === 0 ? {} : { toolCalls: calls }),
    ...(toolCallId === undefined ? {} : { toolCallId: toolCallId.toWellFormed() }),
  }
}

/** `hide` of every text in what a caller gave: of values, and inside arguments and parameters of names too. */
export function hideTexts<T>(value: T, hide: (text: string) => string, names = false): T {
  if (typeof value === 'string') return hide(value) as T
  if (Array.isArray(value)) return value.map((one: unknown) => hideTexts(one, hide, names)) as T
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, inner]: [string, unknown]) => {
    if (name === 'type' && !names) return [name, inner]
    const isFree = names || name === 'arguments' || name === 'parameters'
    return [names ? hide(name) : name, hideTexts(inner, hide, isFree)]
  })
  return Object.fromEntries(entries) as T
}
