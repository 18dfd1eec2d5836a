/** Whether a uniform number lies below a multiple of an exponential, exactly: by bounds in whole numbers, and as many more bits as it takes. */
import type { Words } from './words.ts'

/** A number of at least 0, exactly. */
export interface Rational {
  readonly numerator: bigint
  readonly denominator: bigint
}

/** What is below it: `times` exp(-exponent). */
export interface Edge {
  readonly exponent: Rational
  readonly times: Rational
}

/** @param prefix the first `bits` bits behind the point of the number, drawn already; further ones are drawn from `words` */
export function isBelowExp(words: Words, prefix: bigint, bits: bigint, { exponent, times }: Edge): boolean {
  for (;;) {
    const { low, high } = expBounds(exponent, bits)
    if ((prefix + 1n) * times.denominator <= low * times.numerator) return true
    if (prefix * times.denominator >= high * times.numerator) return false
    prefix = (prefix << 32n) + BigInt(words.next())
    bits += 32n
  }
}

/** Whole numbers between which exp(-g) 2^bits is, a few apart: by the series at g / 2^k, squared k times. */
export function expBounds(
  { numerator, denominator }: Rational,
  bits: bigint,
): { readonly low: bigint; readonly high: bigint } {
  if (numerator === 0n) return { low: 1n << bits, high: 1n << bits }
  if (numerator > denominator * (bits + 1n)) return { low: 0n, high: 1n }
  let halvings = 0n
  while (numerator << 1n > denominator << halvings) halvings++
  // Each squaring doubles what was lost, and the series loses a few units of its last place.
  const width = bits + halvings + 16n
  const x = (numerator << width) / (denominator << halvings)
  let [sum, term, terms] = [1n << width, 1n << width, 0n]
  while (term > 0n) {
    terms++
    term = ((term * x) >> width) / terms
    sum += terms % 2n === 0n ? term : -term
  }
  // Each term was cut off, as x was; what the series would go on with is below one unit.
  const lost = 2n * terms + 2n
  let [low, high] = [sum - lost, sum + lost]
  for (let k = 0n; k < halvings; k++) {
    low = (low * low) >> width
    high = ((high * high) >> width) + 1n
  }
  const rest = width - bits
  return { low: low >> rest, high: (high >> rest) + 1n }
}
