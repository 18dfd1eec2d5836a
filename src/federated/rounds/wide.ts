/**
 * Numbers that need more than the coordinates of an update have: counts, weights, losses, sums of squares. Each is a
 * fixed-point integer of 128 bits, laid out in limbs that are coordinates of the same secure sum. Sums of limbs would
 * tell how often members carried, which their total alone does not: so each member moves a random amount between
 * neighbouring limbs, and a carry drowns in it.
 */
import { OutOfBoundError, ParameterRangeError } from '../errors.ts'

/** Bits behind the point. */
export const WIDE_FRACTION = 40
/** Of a wide number, sign included. */
const WIDE_BITS = 128
/** Of one member: a million of them fit. */
export const mostFixed = 1n << BigInt(WIDE_BITS - 20)

export interface LimbLayout {
  /** Bits of the number that a limb holds. */
  readonly limb: number
  /** Bits of chance above them. */
  readonly blur: number
  readonly limbs: number
}

/** @param members that a sum has at most. @throws ParameterRangeError where the modulus leaves no room */
export function limbLayout(bits: number, members: number): LimbLayout {
  const room = bits - Math.ceil(Math.log2(members + 1)) - 1
  const limb = Math.min(12, Math.floor(room / 2))
  const blur = Math.min(16, room - limb)
  if (limb < 2) throw new ParameterRangeError(`${bits} bits leave no room for counts of ${members} members`)
  return { limb, blur, limbs: Math.ceil(WIDE_BITS / limb) }
}

/** @throws OutOfBoundError */
export function fixedOf(value: number): bigint {
  if (!Number.isFinite(value)) throw new OutOfBoundError(`${value} is no number that can be summed`)
  const whole = Math.trunc(value)
  const fixed = (BigInt(whole) << BigInt(WIDE_FRACTION)) + BigInt(Math.round((value - whole) * 2 ** WIDE_FRACTION))
  if (fixed > mostFixed || fixed < -mostFixed) throw new OutOfBoundError(`${value} is too large to be summed`)
  return fixed
}

export function realOf(fixed: bigint): number {
  const unit = 1n << BigInt(WIDE_FRACTION)
  return Number(fixed / unit) + Number(fixed % unit) / Number(unit)
}

/** @param word a random word mod 2^32 each time */
export function toLimbs(value: bigint, layout: LimbLayout, word: () => number): number[] {
  const size = 1n << BigInt(layout.limb)
  const limbs: number[] = []
  let rest = value
  let carry = 0
  for (let index = 0; index < layout.limbs; index++) {
    const last = index === layout.limbs - 1
    const low = last ? rest : ((rest % size) + size) % size
    rest = (rest - low) / size
    const moved = last ? 0 : word() >>> (32 - layout.blur)
    limbs.push(Number(BigInt.asIntN(32, low)) - carry + moved * 2 ** layout.limb)
    carry = moved
  }
  return limbs
}

/** Of sums of limbs, signed. */
export function fromLimbs(limbs: readonly number[], layout: LimbLayout): bigint {
  let value = 0n
  for (const [index, limb] of limbs.entries()) value += BigInt(limb) << BigInt(index * layout.limb)
  return value
}
