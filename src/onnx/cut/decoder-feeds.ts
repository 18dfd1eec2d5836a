/**
 * Inputs for the check of a decoder with caches: its sizes depend on one another (a mask is as long as past and new
 * tokens together) in a way that no declaration says, so that no made-up ones would be taken.
 */
import { TENSOR_ARRAYS } from '../engine.ts'
import type { AnyTensor, Tensor } from '../engine.ts'
import type { Dimension, ValueInfo } from '../ir/index.ts'

/** Tokens of one step, and of the steps before it. */
export interface DecoderStep {
  readonly rows: number
  readonly past: number
}

/** A token behind others, and a piece of a prompt behind another. */
const STEPS: readonly DecoderStep[] = [
  { rows: 1, past: 7 },
  { rows: 5, past: 3 },
]

const PAST = /^past(?:_key_values?)?[._]/
const IDS = 'input_ids'

/** None for a model of another kind. */
export function decoderSteps(inputs: readonly ValueInfo[]): readonly DecoderStep[] {
  const names = new Set(inputs.map(({ name }) => name))
  return names.has(IDS) && [...names].some((name) => PAST.test(name)) ? STEPS : []
}

/** A value for an input that is known by its name; null for another. */
export function decoderFeed(info: ValueInfo, step: DecoderStep, random: () => number): AnyTensor | null {
  const type = info.type?.kind === 'tensor' ? info.type.type : 'int64'
  if (type === 'string' || !Object.hasOwn(TENSOR_ARRAYS, type)) return null
  const shape = info.type?.kind === 'tensor' ? info.type.shape : null
  if (PAST.test(info.name)) return shape === null ? null : cache(type as Tensor['type'], shape, step, random)
  const values = integersOf(info.name, step, random)
  if (values === null) return null
  const rank = shape?.length ?? 2
  const dims = Array.from({ length: rank }, (_, axis) => (axis === rank - 1 ? values.length : 1))
  return filled(type as Tensor['type'], dims, (at) => values[at]!)
}

function integersOf(name: string, { rows, past }: DecoderStep, random: () => number): readonly number[] | null {
  const list = (count: number, value: (at: number) => number): number[] =>
    Array.from({ length: count }, (_, at) => value(at))
  switch (name) {
    case IDS:
      return list(rows, () => Math.floor(random() * 8))
    case 'attention_mask':
      return list(past + rows, () => 1)
    case 'position_ids':
    case 'cache_position':
      return list(rows, (at) => past + at)
    case 'total_sequence_length':
      return [past + rows]
    case 'seqlens_k':
      return [past + rows - 1]
    case 'num_logits_to_keep':
    case 'logits_to_keep':
    case 'use_cache_branch':
      return [1]
    default:
      return null
  }
}

/** One batch; another free size is that of the past. */
function cache(
  type: Tensor['type'],
  shape: readonly Dimension[],
  { past }: DecoderStep,
  random: () => number,
): AnyTensor | null {
  const free = shape.flatMap((size, axis) => (typeof size === 'number' && size >= 0 ? [] : axis))
  const batch = free.find((axis) => /batch/i.test(String(shape[axis]))) ?? (free.length === 2 ? free[0] : undefined)
  const dims = shape.map((size, axis) => (axis === batch ? 1 : free.includes(axis) ? past : (size as number)))
  // Bits of a float16 from 2^-5 to 2, or numbers of a size that keys and values have.
  const half = (): number => ((10 + Math.floor(random() * 6)) << 10) | Math.floor(random() * 1024)
  return filled(type, dims, type === 'float16' ? half : type.startsWith('float') ? () => 2 * random() - 1 : () => 1)
}

function filled(type: Tensor['type'], dims: readonly number[], value: (at: number) => number): AnyTensor {
  const data = new TENSOR_ARRAYS[type](dims.reduce((product, dim) => product * dim, 1))
  for (let at = 0; at < data.length; at++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(value(at))
    else data[at] = value(at)
  }
  return { type, dims, data }
}
