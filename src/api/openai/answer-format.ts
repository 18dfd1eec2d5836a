/** What form an answer is asked to have: `response_format`, and the tools that it may call. */
import { z } from 'zod'
import { AnswerFormatError, checkedSchema, MAX_SCHEMA_TEXT, MAX_TOOLS, TOOL_NAME } from '../../pipeline/index.ts'
import type { AnswerFormat, CallsFormat, Tool } from '../../pipeline/index.ts'
import { text } from '../fields.ts'
import { InvalidParameterError, UnsupportedParameterError } from '../request-errors.ts'

const toolName = z.string().regex(TOOL_NAME, { error: 'expected 1 to 64 letters, digits, _ or -' })

const tool = z.object({
  type: z.literal('function'),
  function: z.object({
    name: toolName,
    description: text.nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
})

export const FORMAT_FIELDS = {
  response_format: z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('text') }),
      z.object({ type: z.literal('json_object') }),
      z.object({
        type: z.literal('json_schema'),
        json_schema: z.object({ name: toolName, schema: z.unknown(), strict: z.boolean().nullish() }),
      }),
    ])
    .nullish(),
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  tool_choice: z
    .union(
      [
        z.enum(['none', 'auto', 'required']),
        z.object({ type: z.literal('function'), function: z.object({ name: toolName }) }),
      ],
      { error: 'expected none, auto, required, or { type: "function", function: { name } }' },
    )
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
} as const

const formatSchema = z.object(FORMAT_FIELDS)
type FormatFields = z.output<typeof formatSchema>

export interface AskedFormat {
  readonly format?: AnswerFormat
  /** That the model is told of. */
  readonly tools: readonly Tool[]
}

const NO_ARGUMENTS = { type: 'object', properties: {} }

/** @throws InvalidParameterError, UnsupportedParameterError */
export function formatOf(fields: FormatFields): AskedFormat {
  const form = responseFormat(fields.response_format)
  const choice = fields.tool_choice ?? 'auto'
  const offered = (fields.tools ?? []).map(({ function: { name, description, parameters } }) => ({
    name,
    ...(typeof description === 'string' ? { description } : {}),
    parameters: parameters ?? NO_ARGUMENTS,
  }))
  checkChoice(choice, offered)
  if (offered.length === 0 || choice === 'none') return { ...(form === undefined ? {} : { format: form }), tools: [] }
  if (form !== undefined)
    throw new UnsupportedParameterError('response_format', 'an answer either calls tools or has a form of its own')
  return { format: callsOf(offered, choice, fields.parallel_tool_calls !== false), tools: offered }
}

function callsOf(
  offered: readonly Tool[],
  choice: Exclude<NonNullable<FormatFields['tool_choice']>, 'none'>,
  parallel: boolean,
): AnswerFormat {
  const only = typeof choice === 'string' ? null : choice.function.name
  const calls = offered
    .filter(({ name }) => only === null || name === only)
    .map(({ name, parameters }) => ({ name, parameters }))
  for (const [index, { parameters }] of offered.entries())
    named(`tools[${index}].function.parameters`, () => checkedSchema(parameters))
  const format: CallsFormat = { calls, required: choice !== 'auto', single: only !== null || !parallel }
  const written = JSON.stringify(format)
  if (written.length > MAX_SCHEMA_TEXT)
    throw new InvalidParameterError('tools', `have ${written.length} characters, more than ${MAX_SCHEMA_TEXT}`)
  return { kind: 'calls', text: written }
}

function checkChoice(choice: NonNullable<FormatFields['tool_choice']>, offered: readonly Tool[]): void {
  const names = offered.map(({ name }) => name)
  if (new Set(names).size < names.length) throw new InvalidParameterError('tools', 'two functions have one name')
  if (offered.length === 0 && (choice === 'required' || typeof choice === 'object'))
    throw new InvalidParameterError('tool_choice', 'there are no tools to choose from')
  if (typeof choice === 'object' && !names.includes(choice.function.name))
    throw new InvalidParameterError('tool_choice.function.name', 'no function of tools has this name')
}

function responseFormat(form: FormatFields['response_format']): AnswerFormat | undefined {
  if (form === null || form === undefined || form.type === 'text') return undefined
  if (form.type === 'json_object') return { kind: 'json' }
  const { schema = {} } = form.json_schema
  return { kind: 'schema', text: named('response_format.json_schema.schema', () => checkedSchema(schema)) }
}

/** What is wrong inside a schema, by its place in the request. */
function named<T>(param: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof AnswerFormatError)) throw error
    throw new InvalidParameterError(error.where === '' ? param : `${param}.${error.where}`, error.what)
  }
}
