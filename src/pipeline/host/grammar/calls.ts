/**
 * Answers that may call tools, in the form that Hermes' and Qwen's models were trained on and that others follow:
 * `<tool_call>`, a line with one JSON object of name and arguments, `</tool_call>`.
 */
import type { StructuralTag } from '@mlc-ai/web-xgrammar'
import { z } from 'zod'
import { AnswerFormatError } from './errors.ts'
import { checkedSchema } from './schema.ts'

export const CALL_BEGIN = '<tool_call>'
export const CALL_END = '</tool_call>'
/** As many as OpenAI takes. */
export const MAX_TOOLS = 128
export const TOOL_NAME: RegExp = /^[\w-]{1,64}$/

const callsSchema = z.strictObject({
  calls: z
    .array(z.strictObject({ name: z.string().regex(TOOL_NAME), parameters: z.unknown() }))
    .min(1)
    .max(MAX_TOOLS),
  /** The answer is calls and nothing else, at least one. */
  required: z.boolean(),
  /** One at most. */
  single: z.boolean(),
})

export type CallsFormat = z.infer<typeof callsSchema>

/** Before the arguments of a call. */
export function callHead(name: string): string {
  return `${CALL_BEGIN}\n{"name": ${JSON.stringify(name)}, "arguments": `
}

/** After them. */
export const CALL_TAIL = `}\n${CALL_END}`

/**
 * @param argumentsOf the grammar of a schema, where blanks are to have their places; else they may stand anywhere
 * @throws AnswerFormatError
 */
export function callsGrammar(text: string, argumentsOf?: ReadonlyMap<string, string>): StructuralTag {
  const parsed = callsSchema.safeParse(parseJson(text))
  if (!parsed.success) throw new AnswerFormatError('', 'the calls of tools are malformed')
  const { calls, required, single } = parsed.data
  const tags = calls.map(({ name, parameters }) => ({
    type: 'tag' as const,
    begin: callHead(name),
    content: contentOf(checkedSchema(parameters), argumentsOf),
    end: CALL_TAIL,
  }))
  const often = { tags, stop_after_first: single }
  const format: StructuralTag['format'] = required
    ? { type: 'tags_with_separator', separator: '\n', at_least_one: true, ...often }
    : { type: 'triggered_tags', triggers: [CALL_BEGIN], at_least_one: false, ...often }
  return { type: 'structural_tag', format }
}

/** The schemas of the arguments of all calls, as `checkedSchema` writes them. @throws AnswerFormatError */
export function argumentSchemas(text: string): readonly string[] {
  const parsed = callsSchema.safeParse(parseJson(text))
  return parsed.success ? parsed.data.calls.map(({ parameters }) => checkedSchema(parameters)) : []
}

function contentOf(schema: string, argumentsOf?: ReadonlyMap<string, string>): StructuralTag['format'] {
  const grammar = argumentsOf?.get(schema)
  if (grammar !== undefined) return { type: 'grammar', grammar }
  return { type: 'json_schema', json_schema: JSON.parse(schema) as Record<string, unknown> }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new AnswerFormatError('', 'the calls of tools are no JSON')
  }
}
