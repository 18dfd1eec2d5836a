/** A generation with flat options, as programs ask for one. */
import { checkedSchema, GREEDY, MAX_BIASES } from '../pipeline/index.ts'
import type { ChatMessage, GenerateRequest, PlacementStage, PromptInput } from '../pipeline/index.ts'
import { auditWishes } from './audit.ts'
import type { AuditWishes } from './audit.ts'
import { OptionError } from './errors.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

export interface Cancellable {
  /** Ends the call; it rejects with a coded error or the signal's reason. */
  readonly signal?: AbortSignal
}

export interface GenerateOptions extends Cancellable, AuditWishes {
  /** A model here, in the mesh or in the catalogue; one of the catalogue is fetched first. */
  readonly model: string
  /** Text that the model goes on from, without chat template. Exactly one of `prompt`, `messages`, `ids`. */
  readonly prompt?: string
  /** A conversation; the model's chat template makes the prompt. */
  readonly messages?: readonly ChatMessage[]
  readonly ids?: readonly number[]
  /** @default until the model ends the text or its context is full */
  readonly maxTokens?: number
  /** 0 is greedy. @default 0 */
  readonly temperature?: number
  /** 0 keeps all. @default 0 */
  readonly topK?: number
  /** @default 1 */
  readonly topP?: number
  /** @default 0 */
  readonly minP?: number
  /** 1 is none. @default 1 */
  readonly repetitionPenalty?: number
  /** The same seed gives the same text. @default 0 */
  readonly seed?: number
  /** `json`: any JSON object; or a JSON Schema, one value of which the answer is. @default any text */
  readonly format?: 'json' | JsonSchema
  /** Added to the logits of tokens, by id. */
  readonly logitBias?: Readonly<Record<number, number>>
  /** The text ends before any of these. */
  readonly stop?: string | readonly string[]
  /** How many of the likeliest tokens to report with each; 0: its own log-probability alone. */
  readonly logprobs?: number
  /** `auto`: the placement that stands, or one that weft chooses; `local`: this peer alone; or stages by hand. */
  readonly placement?: 'auto' | 'local' | readonly PlacementStage[]
  /** Milliseconds for the whole answer. @default 600000 */
  readonly deadline?: number
}

/** @throws OptionError */
export function generateRequest(options: GenerateOptions): GenerateRequest {
  const { model, stop, logprobs, placement, deadline } = options
  const maxTokens = options.maxTokens
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens >= 1)) {
    throw new OptionError('maxTokens', `a whole number of at least 1 is needed, not ${maxTokens}`)
  }
  const stops = typeof stop === 'string' ? [stop] : stop
  if (stops?.includes('') === true) throw new OptionError('stop', 'an empty text would end every answer at once')
  return {
    model,
    input: inputOf(options),
    sampling: {
      ...GREEDY,
      temperature: within(options, 'temperature', 0, 100, 0),
      topK: within(options, 'topK', 0, 1_000_000, 0),
      topP: within(options, 'topP', 0, 1, 1),
      minP: within(options, 'minP', 0, 1, 0),
      repetitionPenalty: within(options, 'repetitionPenalty', 0.01, 100, 1),
      seed: within(options, 'seed', 0, Number.MAX_SAFE_INTEGER, 0),
      ...biasOf(options),
    },
    ...formatOf(options),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stops === undefined ? {} : { stop: stops }),
    ...(logprobs === undefined ? {} : { logprobs: within(options, 'logprobs', 0, 20, 0) }),
    ...(placement === undefined
      ? {}
      : { placement: typeof placement === 'string' ? placement : { model, stages: placement } }),
    ...auditWishes(options),
    ...(deadline === undefined ? {} : { deadline: within(options, 'deadline', 1, 2 ** 31 - 1, 1) }),
  }
}

/** @throws OptionError */
function biasOf({ logitBias }: GenerateOptions): Pick<GenerateRequest['sampling'], 'logitBias'> {
  if (logitBias === undefined) return {}
  const all = Object.entries(logitBias).map(([id, bias]) => [Number(id), bias] as const)
  if (!all.every(([id, bias]) => Number.isSafeInteger(id) && id >= 0 && Number.isFinite(bias)))
    throw new OptionError('logitBias', 'token ids and numbers are needed')
  if (all.length > MAX_BIASES) throw new OptionError('logitBias', `more than ${MAX_BIASES} tokens`)
  return { logitBias: all }
}

/** @throws AnswerFormatError */
function formatOf({ format }: GenerateOptions): Pick<GenerateRequest, 'format'> {
  if (format === undefined) return {}
  return { format: format === 'json' ? { kind: 'json' } : { kind: 'schema', text: checkedSchema(format) } }
}

function inputOf({ prompt, messages, ids }: GenerateOptions): PromptInput {
  if ([prompt, messages, ids].filter((input) => input !== undefined).length !== 1) {
    throw new OptionError('prompt', 'exactly one of prompt, messages and ids is needed')
  }
  if (prompt !== undefined) return { kind: 'text', text: prompt }
  return messages === undefined ? { kind: 'ids', ids: ids! } : { kind: 'chat', messages }
}

type NumberOption = 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'seed' | 'logprobs' | 'deadline'

function within(options: GenerateOptions, name: NumberOption, low: number, high: number, fallback: number): number {
  const value = options[name] ?? fallback
  if (value >= low && value <= high) return value
  throw new OptionError(name, `a number from ${low} to ${high} is needed, not ${value}`)
}
