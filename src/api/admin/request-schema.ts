/** Bodies of the `/api/v1` routes: ours alone, so an unknown field is a mistake. */
import { z } from 'zod'
import {
  AnswerFormatError,
  callsGrammar,
  checkedSchema,
  GREEDY,
  MAX_BIASES,
  MAX_SCHEMA_TEXT,
  MAX_TOOLS,
} from '../../pipeline/index.ts'
import type { AnswerFormat, GenerateRequest } from '../../pipeline/index.ts'
import { defined } from '../defined.ts'
import {
  auditMode,
  name,
  placement,
  placementFile,
  real,
  laneName,
  priorityName,
  speculateMode,
  stopList,
  text,
  tokenIds,
  whole,
} from '../fields.ts'
import {
  MAX_DEADLINE_MS,
  MAX_PING_BYTES,
  MAX_PINGS,
  MAX_RESUME_S,
  MAX_TOKEN_ID,
  MAX_TOKENS,
  MAX_TOP_LOGPROBS,
} from '../limits.ts'

/** Penalties and temperatures beyond these have no use; they only overflow. */
const MOST_TEMPERATURE = 100
const MOST_PENALTY = 100

const toolCall = z.strictObject({ id: name, name, arguments: z.unknown() })
const tool = z.strictObject({ name, description: text.exactOptional(), parameters: z.unknown() })

const promptInput = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('text'), text, special: z.boolean().optional() }),
  z.strictObject({ kind: z.literal('ids'), ids: tokenIds }),
  z.strictObject({
    kind: z.literal('chat'),
    messages: z
      .array(
        z.strictObject({
          role: name,
          content: text,
          name: name.optional(),
          toolCalls: z.array(toolCall).max(MAX_TOOLS).optional(),
          toolCallId: name.optional(),
        }),
      )
      .min(1),
    tools: z.array(tool).max(MAX_TOOLS).optional(),
  }),
])

const sampling = z.strictObject({
  temperature: real(0, MOST_TEMPERATURE).default(GREEDY.temperature),
  topK: whole(0, MAX_TOKENS).default(GREEDY.topK),
  topP: real(0, 1).default(GREEDY.topP),
  minP: real(0, 1).default(GREEDY.minP),
  repetitionPenalty: real(0.01, MOST_PENALTY).default(GREEDY.repetitionPenalty),
  presencePenalty: real(-MOST_PENALTY, MOST_PENALTY).default(GREEDY.presencePenalty),
  frequencyPenalty: real(-MOST_PENALTY, MOST_PENALTY).default(GREEDY.frequencyPenalty),
  seed: whole(0, Number.MAX_SAFE_INTEGER).default(GREEDY.seed),
  logitBias: z
    .array(z.tuple([whole(0, MAX_TOKEN_ID), real(-MOST_PENALTY, MOST_PENALTY)]).readonly())
    .max(MAX_BIASES)
    .readonly()
    .exactOptional(),
})

const format = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('json') }),
    z.strictObject({ kind: z.literal('schema'), text: z.string().max(MAX_SCHEMA_TEXT) }),
    z.strictObject({ kind: z.literal('calls'), text: z.string().max(MAX_SCHEMA_TEXT) }),
  ])
  .superRefine((asked, context) => {
    const wrong = wrongIn(asked)
    if (wrong === undefined) return
    const path = wrong.where === '' ? ['text'] : ['text', wrong.where]
    context.addIssue({ code: 'custom', path, message: wrong.what })
  })

/** Why no answer can be held to a form, before a peer that chooses tokens would find out. */
function wrongIn(asked: AnswerFormat): { readonly where: string; readonly what: string } | undefined {
  try {
    if (asked.kind === 'schema') checkedSchema(JSON.parse(asked.text))
    else if (asked.kind === 'calls') callsGrammar(asked.text)
    return undefined
  } catch (error) {
    return error instanceof AnswerFormatError ? error : { where: '', what: 'is no JSON' }
  }
}

const generateFields = z.strictObject({
  model: name,
  input: promptInput,
  sampling: sampling.default({ ...GREEDY }),
  format: format.optional(),
  maxTokens: whole(1, MAX_TOKENS).optional(),
  stop: stopList.optional(),
  logprobs: whole(0, MAX_TOP_LOGPROBS).optional(),
  placement: placement.optional(),
  deadline: whole(1, MAX_DEADLINE_MS).optional(),
  ignoreEnd: z.boolean().optional(),
  audit: auditMode.optional(),
  auditRate: real(0, 1).optional(),
  speculate: speculateMode.optional(),
  draft: name.optional(),
  lane: laneName.optional(),
  priority: priorityName.optional(),
  resume_s: whole(0, MAX_RESUME_S).optional(),
})

export const generateSchema = generateFields.transform(
  ({ input, resume_s: resumeS, ...rest }): { request: GenerateRequest; resumeS: number | undefined } => ({
    request: defined({ ...rest, input: cleanInput(input) }),
    resumeS,
  }),
)

export const tokenizeSchema = z
  .strictObject({ model: name, input: promptInput })
  .transform(({ model, input }) => ({ model, input: cleanInput(input) }))

function cleanInput(input: z.output<typeof promptInput>): GenerateRequest['input'] {
  if (input.kind === 'chat')
    return defined({ kind: 'chat', messages: input.messages.map((one) => defined(one)), tools: input.tools })
  return input.kind === 'text' ? defined(input) : input
}

export const detokenizeSchema = z.strictObject({ model: name, ids: tokenIds })

/** A path, an address or a package name. */
const MAX_SOURCE = 4_096
/** Characters; what is less than the peer wants, it refuses itself. */
const MAX_CALIBRATION = 200_000

export const importSchema = z
  .strictObject({
    source: z.string().min(1).max(MAX_SOURCE),
    name: name.optional(),
    weights: z.enum(['auto', 'q4', 'int8', 'f16', 'f32']).optional(),
    alone: z.boolean().optional(),
    measure: z.enum(['auto', 'always', 'never']).optional(),
    calibration: z.string().max(MAX_CALIBRATION).optional(),
  })
  .transform((fields) => defined(fields))

const deployTarget = z.union([z.enum(['latency', 'memory', 'spread']), placementFile], {
  error: 'expected latency, memory, spread, or { model, stages: [{ peer, from, to }] }',
})

export const deploySchema = z.strictObject({ model: name, placement: deployTarget.optional() })
/** Of a tensor: exporters make paths of them. */
const MAX_TENSOR_NAME = 1_024
const tensorName = z.string().max(MAX_TENSOR_NAME)
const path = z.string().min(1).max(MAX_SOURCE)

export const inferSchema = z
  .strictObject({
    model: name,
    in: path,
    out: path,
    stages: z.union([z.literal('auto'), placementFile.shape.stages]).optional(),
    parts: whole(1, 1_024).optional(),
    memory: whole(1, Number.MAX_SAFE_INTEGER).optional(),
    carries: z.array(z.tuple([tensorName, tensorName])).optional(),
    frames: whole(0, 63).optional(),
    microBatch: whole(0, 1 << 24).optional(),
    optimization: z.enum(['off', 'basic', 'extended', 'all']).optional(),
    wire: z.enum(['f32', 'f16']).optional(),
    deadline: whole(1, MAX_DEADLINE_MS).optional(),
  })
  .transform((fields) => defined(fields))

/** Data-parallel lines: as many peers as a mesh has, at most. */
const MAX_LINES = 256

export const trainSchema = z
  .strictObject({
    plan: path,
    out: path,
    resume: z.boolean(),
    seed: whole(0, Number.MAX_SAFE_INTEGER).optional(),
    threads: whole(1, 1_024).optional(),
    lines: z.array(placementFile.shape.stages).min(1).max(MAX_LINES).optional(),
    peers: z.array(name).min(1).max(MAX_LINES).optional(),
  })
  .transform((fields) => defined(fields))

/** As many as the planner takes. */
const MAX_CHANGES = 64

export const planSchema = z
  .strictObject({
    model: name,
    objective: z.enum(['latency', 'first-token', 'throughput', 'memory', 'spread']).optional(),
    context: whole(1, MAX_TOKENS).optional(),
    concurrency: whole(1, 4_096).optional(),
    prompt: whole(1, MAX_TOKENS).optional(),
    what_if: z.array(z.string().min(1).max(400)).max(MAX_CHANGES).optional(),
    explain: z.boolean().optional(),
  })
  .transform(({ model, what_if: whatIf, ...rest }) => ({ model, request: defined({ ...rest, whatIf }) }))

export const undeploySchema = z.strictObject({ model: name })
export const pinSchema = z.strictObject({ model: name, pinned: z.boolean() })
/** Of a query: its values are texts. */
export const removeSchema = z.strictObject({ last: z.enum(['true', 'false']).optional() })

export const pingSchema = z
  .strictObject({
    peer: name,
    count: whole(1, MAX_PINGS).optional(),
    bytes: whole(0, MAX_PING_BYTES).optional(),
  })
  .transform((fields) => defined(fields))

export const netcheckSchema = z.strictObject({ peer: name.optional() }).transform((fields) => defined(fields))

export const emptySchema = z.strictObject({})
export const shutdownSchema = z.strictObject({ drain_ms: whole(0, MAX_DEADLINE_MS).optional() })
