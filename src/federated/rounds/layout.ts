/** What a member's vector holds: coordinates of the update, then wide numbers in limbs; and back from the sum of all. */
import { checkEncoding, roundStochastic, signed } from '../secagg/encoding.ts'
import type { Encoding } from '../secagg/encoding.ts'
import { NotFiniteError, VectorLengthError } from '../errors.ts'
import type { UpdateSource } from '../secagg/update.ts'
import { fromLimbs, limbLayout, toLimbs } from './wide.ts'
import type { LimbLayout } from './wide.ts'

/** What one member puts in. */
export interface Contribution {
  /** Coordinates, each within the bound of the plan. */
  readonly reals: Float64Array
  /** Fixed-point. */
  readonly wide: readonly bigint[]
  /** Integers that noise has made of the coordinates, in units of 2^-f; in place of rounding. */
  readonly integers?: Float64Array
}

/** The same, summed. */
export interface Sums {
  readonly reals: Float64Array
  readonly wide: readonly bigint[]
}

export interface VectorShape {
  readonly reals: number
  readonly wide: number
}

export interface VectorLayout extends VectorShape {
  readonly limbs: LimbLayout
  /** Coordinates of the sum. */
  readonly d: number
  readonly bits: number
}

export function vectorLayout(shape: VectorShape, bits: number, members: number): VectorLayout {
  const limbs = limbLayout(bits, members)
  return { ...shape, limbs, bits, d: shape.reals + shape.wide * limbs.limbs }
}

/**
 * @param word uniform mod 2^32, from a secure source
 * @throws NotFiniteError, OutOfBoundError on reading: nothing is clipped in silence
 */
export function encodeContribution(
  { reals, wide, integers }: Contribution,
  layout: VectorLayout,
  encoding: Encoding,
  word: () => number,
): UpdateSource {
  checkEncoding(encoding)
  const tail = wide.flatMap((value) => toLimbs(value, layout.limbs, word))
  return {
    length: layout.d,
    read(from, words) {
      for (let index = 0; index < words.length; index++) {
        const at = from + index
        if (at >= layout.reals) words[index] = tail[at - layout.reals]!
        else if (integers === undefined) words[index] = roundStochastic(reals[at]!, word() / 2 ** 32, encoding, at)
        else words[index] = integers[at]!
      }
    },
  }
}

export function decodeSum(words: Uint32Array, layout: VectorLayout, { f }: Encoding): Sums {
  const gamma = 2 ** -f
  const reals = new Float64Array(layout.reals)
  for (let index = 0; index < layout.reals; index++) reals[index] = signed(words[index]!, layout.bits) * gamma
  const { limbs } = layout.limbs
  const wide = Array.from({ length: layout.wide }, (_, at) => {
    const from = layout.reals + at * limbs
    const each = Array.from(words.subarray(from, from + limbs), (word) => signed(word, layout.bits))
    return fromLimbs(each, layout.limbs)
  })
  return { reals, wide }
}

export function addContributions(all: readonly Contribution[], shape: VectorShape): Sums {
  const reals = new Float64Array(shape.reals)
  const wide = Array.from({ length: shape.wide }, () => 0n)
  for (const one of all) {
    for (const [index, value] of one.reals.entries()) reals[index]! += value
    for (const [index, value] of one.wide.entries()) wide[index]! += value
  }
  return { reals, wide }
}

/** Of several sums over members of their own. */
export function addSums(all: readonly { readonly sums: Sums }[]): Sums {
  const [first] = all
  const shape = { reals: first?.sums.reals.length ?? 0, wide: first?.sums.wide.length ?? 0 }
  return addContributions(
    all.map(({ sums }) => sums),
    shape,
  )
}

/** How coordinates cross in the clear. */
export type ClearReals = 'float32' | 'float64'

/**
 * What leaves a site in the clear, and what comes of all of them: each coordinate rounded once to the nearest float32, as precise as the
 * model itself is (2^-24 of its size; below 2^-126 2^-150). Numbers of 128 bits stay whole. Contributions with a coordinate beyond
 * float32 (3.4e38) stay as they are, and cross as float64: nothing is made infinite, and nothing is cut.
 */
export function inSingle<Made extends Pick<Contribution, 'reals'>>(made: Made): Made {
  const reals = made.reals.map(Math.fround)
  return reals.every((value) => Number.isFinite(value)) ? { ...made, reals } : made
}

/** Whether all of these cross as float32 without a change. */
export function areSingle(all: readonly Pick<Contribution, 'reals'>[]): boolean {
  return all.every(({ reals }) => reals.every((value) => Math.fround(value) === value))
}

const WIDE_BYTES = 16
const LOW = (1n << 64n) - 1n

function realBytes(format: ClearReals): number {
  return format === 'float32' ? 4 : 8
}

/** Bytes of a contribution in the clear: its coordinates, then the fixed-point numbers, 16 bytes each, little-endian. */
export function clearBytes({ reals, wide }: VectorShape, format: ClearReals): number {
  return realBytes(format) * reals + WIDE_BYTES * wide
}

export function contributionBytes(
  { reals, wide }: Pick<Contribution, 'reals' | 'wide'>,
  format: ClearReals,
): Uint8Array {
  const bytes = new Uint8Array(clearBytes({ reals: reals.length, wide: wide.length }, format))
  const view = new DataView(bytes.buffer)
  const size = realBytes(format)
  for (const [index, value] of reals.entries()) {
    if (format === 'float32') view.setFloat32(size * index, value, true)
    else view.setFloat64(size * index, value, true)
  }
  for (const [index, value] of wide.entries()) {
    const at = size * reals.length + WIDE_BYTES * index
    view.setBigUint64(at, value & LOW, true)
    view.setBigInt64(at + 8, value >> 64n, true)
  }
  return bytes
}

/** @throws VectorLengthError, NotFiniteError */
export function readContribution(bytes: Uint8Array, shape: VectorShape, format: ClearReals): Contribution {
  const right = clearBytes(shape, format)
  if (bytes.length !== right) {
    throw new VectorLengthError(`a contribution has ${bytes.length} bytes, ${right} are right`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = realBytes(format)
  const reals = new Float64Array(shape.reals)
  for (let index = 0; index < reals.length; index++) {
    reals[index] = format === 'float32' ? view.getFloat32(size * index, true) : view.getFloat64(size * index, true)
  }
  const odd = reals.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0) throw new NotFiniteError(`coordinate ${odd} of a contribution is ${reals[odd]}`, { index: odd })
  const wide = Array.from({ length: shape.wide }, (_, index) => {
    const at = size * shape.reals + WIDE_BYTES * index
    return (view.getBigInt64(at + 8, true) << 64n) | view.getBigUint64(at, true)
  })
  return { reals, wide }
}
