/**
 * What the inputs and outputs of a decoder export are for, told from their names, types and shapes: exporters write no
 * other description. Names as Optimum, the hub's ONNX community and ONNX Runtime's own tools write them.
 */
import { shown, TENSOR_ARRAYS } from '../../onnx/index.ts'
import type { DataType, Dimension, PlannedValue } from '../../onnx/index.ts'
import { DecoderInputsError } from './errors.ts'
import type { DecoderText } from './text.ts'

/** What an input takes in a step of `rows` new tokens behind `past` others. */
export type DecoderRole =
  /** Ids of the new tokens, [1, rows]. */
  | 'ids'
  /** Ones, [1, past + rows]. */
  | 'mask'
  /** past .. past + rows - 1, [1, rows] or [rows]. */
  | 'positions'
  /** past + rows, as GroupQueryAttention takes it: one element. */
  | 'total_length'
  /** past + rows - 1, as GroupQueryAttention takes it: [1]. */
  | 'last_position'
  /** Rows of logits that are wanted: one element. */
  | 'kept_logits'
  /** Whether there is a past (a merged export has a branch for each): [1]. */
  | 'use_cache'

export interface DecoderInput {
  readonly name: string
  readonly role: DecoderRole
  readonly type: 'int64' | 'int32' | 'bool'
  readonly rank: number
}

/** A cache: what an output gives is what the input takes in the next step. */
export interface DecoderCache {
  readonly output: string
  readonly input: string
  readonly type: CacheType
  /** Before the first token: 1 where the batch is, 0 along `axis`. */
  readonly shape: readonly number[]
  /** That grows with each token; null: a state that keeps its size, zeros at first. */
  readonly axis: number | null
}

export interface DecoderLayout {
  readonly inputs: readonly DecoderInput[]
  readonly caches: readonly DecoderCache[]
  /** The output of logits, [1, rows, vocabulary] or its last row alone. */
  readonly logits: string
}

export type CacheType = 'float32' | 'float16' | 'int8' | 'uint8'

const CACHE_TYPES: readonly string[] = ['float32', 'float16', 'int8', 'uint8'] satisfies CacheType[]

/** By name: the role, and the ranks in which it is known. */
const ROLES: ReadonlyMap<string, readonly [role: DecoderRole, ranks: readonly number[]]> = new Map([
  ['input_ids', ['ids', [2]]],
  ['attention_mask', ['mask', [2]]],
  ['position_ids', ['positions', [1, 2]]],
  ['cache_position', ['positions', [1]]],
  ['total_sequence_length', ['total_length', [0, 1]]],
  ['seqlens_k', ['last_position', [1]]],
  ['num_logits_to_keep', ['kept_logits', [0, 1]]],
  ['logits_to_keep', ['kept_logits', [0, 1]]],
  ['use_cache_branch', ['use_cache', [0, 1]]],
])

/** `past_key_values.0.key` and `present.0.key`, `past_0` and `present_0`, `past_conv.0` and `present_conv.0`. */
const PAST = /^past(?:_key_values?)?(?=[._])(.*)$/s
const PRESENT = /^present(?:_key_values?)?(?=[._])(.*)$/s

/** Bounds what a file can make a session hold before its first token. */
const MAX_STATE_BYTES = 2 ** 28

/**
 * @returns null where nothing is carried from step to step, or no ids go in: this is no decoder with a cache
 * @throws DecoderInputsError when it is one, and has something that nobody knows what to give for
 */
export function decoderLayout(inputs: readonly PlannedValue[], outputs: readonly PlannedValue[]): DecoderLayout | null {
  const presents = new Map(outputs.flatMap((output) => keyed(PRESENT, output)))
  const pasts = inputs.filter(({ name }) => PAST.test(name))
  if (pasts.length === 0 || presents.size === 0 || !inputs.some(({ name }) => name === 'input_ids')) return null
  const caches = pasts.map((past) => cacheOf(past, presents.get(PAST.exec(past.name)![1]!)))
  const others = inputs.filter(({ name }) => !PAST.test(name)).map(inputOf)
  const bytes = caches.reduce((sum, cache) => sum + (cache.axis === null ? stateBytes(cache, 0) : 0), 0)
  if (!(bytes <= MAX_STATE_BYTES)) throw new DecoderInputsError(`its state takes ${bytes} bytes before the first token`)
  return { inputs: others, caches, logits: logitsOf(outputs) }
}

/** @throws DecoderInputsError */
export function decoderText(
  inputs: readonly PlannedValue[],
  outputs: readonly PlannedValue[],
): Omit<DecoderText, 'tokenizer' | 'context'> | null {
  const layout = decoderLayout(inputs, outputs)
  if (layout === null) return null
  const carried = layout.caches.map(({ output, input }) => ({ output, input }))
  return { kind: 'decoder', logits: layout.logits, carried }
}

/** Bytes of a cache after so many tokens. */
export function stateBytes({ type, shape, axis }: DecoderCache, tokens: number): number {
  const count = shape.reduce((product, size, at) => product * (at === axis ? tokens : size), 1)
  return count * TENSOR_ARRAYS[type].BYTES_PER_ELEMENT
}

function keyed(pattern: RegExp, value: PlannedValue): readonly (readonly [string, PlannedValue])[] {
  const match = pattern.exec(value.name)
  return match === null ? [] : [[match[1]!, value]]
}

function inputOf({ name, type, shape }: PlannedValue): DecoderInput {
  const known = ROLES.get(name)
  if (known === undefined) throw new DecoderInputsError(`its input ${shown(name)} is not one that weft knows`)
  const [role, ranks] = known
  const wanted: readonly DataType[] = role === 'use_cache' ? ['bool'] : ['int64', 'int32']
  if (!wanted.includes(type as DataType)) {
    throw new DecoderInputsError(`its input ${shown(name)} is ${type}, not ${wanted.join(' or ')}`)
  }
  // Of what an export says nothing about, the usual shape is taken.
  const rank = shape?.length ?? ranks.at(-1)!
  if (!ranks.includes(rank)) {
    throw new DecoderInputsError(`its input ${shown(name)} has ${rank} axes, not ${ranks.join(' or ')}`)
  }
  return { name, role, type: type as DecoderInput['type'], rank }
}

function cacheOf({ name, type, shape }: PlannedValue, present: PlannedValue | undefined): DecoderCache {
  if (present === undefined) throw new DecoderInputsError(`no output becomes its input ${shown(name)}`)
  if (type !== present.type || !CACHE_TYPES.includes(type)) {
    throw new DecoderInputsError(`its cache ${shown(name)} is ${type}, and comes back as ${present.type}`)
  }
  if (shape === null) throw new DecoderInputsError(`its cache ${shown(name)} has no shape`)
  const free = shape.flatMap((size, axis) => (typeof size === 'number' && size >= 0 ? [] : axis))
  const batch = batchAxis(shape, free)
  const growing = free.filter((axis) => axis !== batch)
  if (growing.length > 1) {
    const names = growing.map((axis) => String(shape[axis] ?? '?')).join(', ')
    throw new DecoderInputsError(`its cache ${shown(name)} has more than one size that is not told: ${shown(names)}`)
  }
  const sizes = shape.map((size, axis) => (axis === batch ? 1 : growing.includes(axis) ? 0 : (size as number)))
  return { output: present.name, input: name, type: type as CacheType, shape: sizes, axis: growing[0] ?? null }
}

/** Named so, or the first of two that are free. */
function batchAxis(shape: readonly Dimension[], free: readonly number[]): number | undefined {
  return free.find((axis) => /batch/i.test(String(shape[axis]))) ?? (free.length === 2 ? free[0] : undefined)
}

function logitsOf(outputs: readonly PlannedValue[]): string {
  const found = outputs.find(({ name }) => name === 'logits')
  if (found === undefined) throw new DecoderInputsError('it has no output named logits')
  if (found.type !== 'float32' && found.type !== 'float16') {
    throw new DecoderInputsError(`its logits are ${found.type}, not float32 or float16`)
  }
  return found.name
}
