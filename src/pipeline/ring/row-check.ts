/**
 * What a hop looks at in rows before it computes with them: that they are numbers, and about as large as rows of this boundary
 * are. Whoever computed from what is none of it would send on what is none of it, and be taken for its sender.
 */
import { createHash } from 'node:crypto'
import { DTYPE, STATED_BYTES } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { LEAST_LEVEL, levelOfHalves, levelOfSingles } from '../row-level.ts'
import { NOT_FINITE } from './witness.ts'

export const OUTLIER = 'rows are far from what this boundary of the model carries'

/** Levels (row-level.ts) of rows that were measured, in whole doublings, outwards. */
export interface LevelRange {
  readonly low: number
  readonly high: number
}

/**
 * Doublings beyond the measured ones: a factor of sixteen. Of 3,677 rows at each boundary of SmolLM2-135M, of texts and of what is
 * none, the furthest were 1.14 beyond; rows that are multiplied by 1,000 are 10 beyond where they were.
 */
export const SPARE = 4

export interface Outlier {
  readonly kind: 'not-finite' | 'zeros' | 'small' | 'large'
  /** Who sent it. */
  readonly peer: string
  /** Whose answer it was for. */
  readonly origin: string
  /** Of the model. */
  readonly digest: string
  /** That it was to go into. */
  readonly block: number
  readonly position: number
  /** The sender has said that it is a row of this boundary, computed without an adapter from what was itself looked at. */
  readonly isStated: boolean
}

export interface RowGate {
  /** What was measured of rows that go into a block, by others than their sender where there are any; undefined: by nobody. */
  levels?(digest: string, block: number, sender: string): LevelRange | undefined
  /** Such rows came, and are not computed with. */
  outlier?(found: Outlier): void
}

export interface RowCheckInit {
  readonly gate: RowGate
  readonly self: string
  readonly origin: string
  readonly digest: string
  /** Blocks [from, to) of the hop. */
  readonly from: number
  readonly to: number
  /** The session has an adapter: its rows are whatever that makes of them. */
  readonly isAdapted: boolean
  /** What its stages send is signed and may be computed again: the audit is to have the evidence. */
  readonly isAudited: boolean
}

const NOTHING = new Uint8Array(STATED_BYTES)

export class RowCheck {
  readonly #init: RowCheckInit
  readonly #taken: Uint8Array
  readonly #given: Uint8Array
  #sender: string | undefined
  #range: LevelRange | undefined
  /** What it computes comes of rows that no stage computes: it does not vouch for that. */
  #isTainted = false

  constructor(init: RowCheckInit) {
    this.#init = init
    this.#taken = boundaryName(init.digest, init.from)
    this.#given = boundaryName(init.digest, init.to)
  }

  /**
   * Why rows are not taken; undefined: they are. What this peer itself sends is not looked at. In an audited session rows of a wrong
   * size are told of and taken: the audit convicts whoever has signed them.
   */
  refuses(sender: string, message: Frame): string | undefined {
    const { gate, self, origin, digest, from: block } = this.#init
    if (sender === self) return undefined
    const found = firstOutlier(message, this.#isTainted ? undefined : this.#rangeFrom(sender))
    if (found === undefined) return undefined
    const isStated = Buffer.compare(message.stated, this.#taken) === 0
    gate.outlier?.({ ...found, peer: sender, origin, digest, block, isStated })
    if (found.kind === 'not-finite') return NOT_FINITE
    this.#isTainted = this.#init.isAudited
    return this.#isTainted ? undefined : OUTLIER
  }

  /**
   * Of rows that it sends: their boundary's name, where it vouches for what they were computed from.
   * @param sender of these; undefined: they were computed from token ids
   */
  stated(sender: string | undefined): Uint8Array {
    if (this.#init.isAdapted || this.#isTainted || (sender !== undefined && this.#rangeFrom(sender) === undefined))
      return NOTHING
    return this.#given
  }

  /** As it was known when the first rows of this sender came: a session has one measure. */
  #rangeFrom(sender: string): LevelRange | undefined {
    const { gate, digest, from, isAdapted } = this.#init
    if (isAdapted) return undefined
    if (sender !== this.#sender) {
      this.#sender = sender
      this.#range = gate.levels?.(digest, from, sender)
    }
    return this.#range
  }
}

/** Of the rows that go into a block of a model: 128 bits, so that nobody finds another boundary of the same name. */
function boundaryName(digest: string, block: number): Uint8Array {
  return createHash('sha256').update(`weft boundary 1\n${digest}\n${block}`).digest().subarray(0, STATED_BYTES)
}

/** Whether all elements are numbers. */
export function areFinite(message: Frame): boolean {
  return firstOutlier(message, undefined) === undefined
}

function firstOutlier(
  { dtype, dims, payload, position }: Frame,
  range: LevelRange | undefined,
): Pick<Outlier, 'kind' | 'position'> | undefined {
  const [count = 0] = dims
  const levelAt = levelReader(dtype, payload, count)
  if (levelAt === undefined) return undefined
  for (let row = 0; row < count; row++) {
    const kind = kindOf(levelAt(row), range)
    if (kind !== undefined) return { kind, position: position + row }
  }
  return undefined
}

function kindOf(level: number, range: LevelRange | undefined): Outlier['kind'] | undefined {
  if (Number.isNaN(level)) return 'not-finite'
  if (range === undefined) return undefined
  if (level > range.high + SPARE) return 'large'
  if (level >= range.low - SPARE) return undefined
  return level === LEAST_LEVEL ? 'zeros' : 'small'
}

/** Undefined: these are token ids, or nothing. */
function levelReader(dtype: Frame['dtype'], payload: Uint8Array, count: number): ((row: number) => number) | undefined {
  if (count === 0 || (dtype !== DTYPE.f16 && dtype !== DTYPE.f32)) return undefined
  const bytes = payload.byteOffset % 4 === 0 ? payload : payload.slice()
  const size = dtype === DTYPE.f16 ? 2 : 4
  const width = Math.floor(payload.length / size / count)
  if (dtype === DTYPE.f16) {
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, width * count)
    return (row) => levelOfHalves(bits.subarray(row * width, (row + 1) * width))
  }
  const bits = new Uint32Array(bytes.buffer, bytes.byteOffset, width * count)
  return (row) => levelOfSingles(bits.subarray(row * width, (row + 1) * width))
}
