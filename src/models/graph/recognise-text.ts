/** Whether a graph reads text, by the names that exporters give inputs and outputs: an encoder, a decoder, or neither. */
import type { PlannedValue } from '../../onnx/index.ts'

export interface GraphEnds {
  readonly inputs: readonly PlannedValue[]
  readonly outputs: readonly PlannedValue[]
}

export type RecognisedText =
  | {
      readonly kind: 'encoder'
      readonly output: string
      /** The output is one vector a text, not a row a token. */
      readonly pooled: boolean
      /** Elements of a row, where the graph says it. */
      readonly dimensions: number | null
      /** Tokens that each text is padded to, where the graph takes no other number. */
      readonly fixed: number | null
    }
  | {
      readonly kind: 'decoder'
      readonly logits: string
      readonly carried: readonly { readonly output: string; readonly input: string }[]
    }

export const TOKEN_IDS = 'input_ids'
export const ATTENTION_MASK = 'attention_mask'
export const TOKEN_TYPES = 'token_type_ids'
export const POSITIONS = 'position_ids'

const ENCODER_INPUTS: ReadonlySet<string> = new Set([TOKEN_IDS, ATTENTION_MASK, TOKEN_TYPES, POSITIONS])
/** What exports of decoders take beside their caches. */
const DECODER_INPUTS: ReadonlySet<string> = new Set([
  ...ENCODER_INPUTS,
  'cache_position',
  'use_cache_branch',
  'num_logits_to_keep',
  'seqlens_k',
  'total_sequence_length',
])
const LOGITS = 'logits'
/** The model's own vector first. */
const ENCODER_OUTPUTS = [
  { name: 'sentence_embedding', pooled: true },
  { name: 'last_hidden_state', pooled: false },
  { name: 'token_embeddings', pooled: false },
] as const
const INTEGERS: ReadonlySet<string> = new Set(['int64', 'int32'])
export const VECTOR_TYPES: ReadonlySet<string> = new Set(['float32', 'float16', 'float64'])
/** `past_key_values.0.key`, `past_0`, `past.0.value`, `past_conv.3`. */
const PAST = /^past(_key_values)?(?=[._])/

/** Null: a graph of another kind, which runs on named arrays alone. */
export function recogniseText(ends: GraphEnds): RecognisedText | null {
  const ids = ends.inputs.find(({ name }) => name === TOKEN_IDS)
  if (ids === undefined || !INTEGERS.has(ids.type) || (ids.shape ?? [0, 0]).length !== 2) return null
  return ends.inputs.some(({ name }) => PAST.test(name)) ? decoder(ends) : encoder(ends, ids)
}

function encoder({ inputs, outputs }: GraphEnds, ids: PlannedValue): RecognisedText | null {
  const [batch, tokens] = ids.shape ?? [null, null]
  const fixed = typeof tokens === 'number' ? tokens : null
  const known = inputs.every(({ name, type }) => ENCODER_INPUTS.has(name) && INTEGERS.has(type))
  const masked = inputs.some(({ name }) => name === ATTENTION_MASK)
  if (!known || (typeof batch === 'number' && batch !== 1)) return null
  // What is padded has to be masked.
  if (fixed !== null && (fixed < 1 || !masked)) return null
  for (const { name, pooled } of ENCODER_OUTPUTS) {
    const output = outputs.find((one) => one.name === name)
    const rank = pooled ? 2 : 3
    if (output === undefined || !VECTOR_TYPES.has(output.type) || (output.shape?.length ?? rank) !== rank) continue
    const last = output.shape?.at(-1)
    return { kind: 'encoder', output: name, pooled, dimensions: typeof last === 'number' ? last : null, fixed }
  }
  return null
}

function decoder({ inputs, outputs }: GraphEnds): RecognisedText | null {
  const names = new Map(outputs.map((output) => [output.name, output]))
  const logits = names.get(LOGITS)
  if (logits === undefined || !VECTOR_TYPES.has(logits.type) || (logits.shape?.length ?? 3) !== 3) return null
  const carried: { output: string; input: string }[] = []
  for (const { name, type } of inputs) {
    if (DECODER_INPUTS.has(name)) continue
    const present = ['present', 'present_key_values'].map((word) => name.replace(PAST, word))
    const output = PAST.test(name) ? present.map((one) => names.get(one)).find((one) => one !== undefined) : undefined
    if (output === undefined || output.type !== type) return null
    carried.push({ output: output.name, input: name })
  }
  return { kind: 'decoder', logits: LOGITS, carried }
}
