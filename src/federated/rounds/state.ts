/** What all members of a federation must agree on between rounds, as bytes: its hash is the "model" of a round. */
import { z } from 'zod'
import { canonicalJson } from '../../util/index.ts'
import { VectorLengthError } from '../errors.ts'
import { ascii, concat, u32 } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { Pooled } from '../site/statistics.ts'

export interface FedState {
  /** Sums that became models; the statistics are not among them. */
  readonly done: number
  /** Of the columns of all sites; null before the round of statistics. */
  readonly pooled: Pooled | null
  /** Coordinates that all sites share. */
  readonly global: Float32Array
  /** What the strategy carries over. */
  readonly strategy: Readonly<Record<string, Float64Array>>
  /** The bound that adaptive clipping found; null where there is none. */
  readonly clip: number | null
}

/** What training begins with: parameters, and what the state carries beside them from the beginning on. */
export type Begun = Pick<FedState, 'global' | 'strategy'>

export const NOTHING_BEGUN: Begun = { global: new Float32Array(), strategy: {} }

export const FIRST_STATE: FedState = { done: 0, pooled: null, global: new Float32Array(), strategy: {}, clip: null }

/** Sums that made this state, the statistics among them. */
export function stepsOf({ done, pooled }: FedState): number {
  return done + (pooled === null ? 0 : 1)
}

const MAGIC = 'weft fed state/1'
const MAX_HEAD = 16 << 20
/** Of one array; what a message may have is less. */
const MAX_COORDINATES = 2 ** 31

/** Magic, u32 length, JSON, then the arrays, little-endian. */
export function encodeState({ done, pooled, global, strategy, clip }: FedState): Uint8Array {
  const names = Object.keys(strategy).sort()
  const arrays = names.map((name) => [name, strategy[name]!.length] as const)
  const head = ascii(canonicalJson({ done, pooled, global: global.length, arrays, clip }))
  const parts = [bytesOf(global), ...names.map((name) => bytesOf(strategy[name]!))]
  return concat(ascii(MAGIC), u32(head.length), head, ...parts)
}

const real = z.number()
const size = z.int().min(0).max(MAX_COORDINATES)
const column = z.object({ column: z.string().max(1000), count: real.min(0), mean: real, sd: real.positive() })
const headSchema = z.object({
  done: z.int().min(0),
  pooled: z.object({ records: real.min(0), columns: z.array(column).max(65_536) }).nullable(),
  global: size,
  arrays: z.array(z.tuple([z.string().max(100), size])).max(16),
  clip: real.positive().nullable(),
})

function headOf(json: string): z.output<typeof headSchema> {
  try {
    return headSchema.parse(JSON.parse(json))
  } catch (error) {
    throw new VectorLengthError(`the head of a state is none: ${(error as Error).message.slice(0, 200)}`)
  }
}

/** @throws VectorLengthError: the bytes are no state */
export function decodeState(bytes: Uint8Array): FedState {
  const from = MAGIC.length + 4
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length < from ? Number.POSITIVE_INFINITY : view.getUint32(MAGIC.length)
  if (length > MAX_HEAD || from + length > bytes.length || text(bytes.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new VectorLengthError('these bytes are no state of a federation')
  }
  const head = headOf(text(bytes.subarray(from, from + length)))
  const { done, pooled, clip } = head
  let at = from + length
  const take = (size: number): ArrayBuffer => {
    if (at + size > bytes.length) {
      throw new VectorLengthError('a state of a federation is cut short')
    }
    return new Uint8Array(bytes.subarray(at, (at += size))).buffer
  }
  const global = new Float32Array(take(4 * head.global))
  const strategy: Record<string, Float64Array> = {}
  for (const [name, size] of head.arrays) strategy[name] = new Float64Array(take(8 * size))
  if (at !== bytes.length) throw new VectorLengthError('bytes follow the state of a federation')
  return { done, pooled, global, strategy, clip }
}

export function stateHash(state: FedState): Uint8Array {
  return nodePrimitives.sha256(encodeState(state))
}

function bytesOf(array: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
