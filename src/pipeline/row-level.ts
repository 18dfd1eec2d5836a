/**
 * How large a row of a boundary is, in doublings: the mean of its elements' exponents. One huge element, which the first row of
 * a text has in many models (massive activations, arXiv 2402.17762), hardly moves it; a factor that all elements are
 * multiplied with moves it by its binary logarithm. One pass over the bits, nothing is converted.
 */

/** What is smaller counts as this: the exponent of float16's smallest normal numbers, and zeros. */
export const LEAST_LEVEL = -15
const BIAS_HALF = 15
const BIAS_SINGLE = 127

/** Pairs of exponents whose sums stay within 15 bits each: a small number for the engine. */
const PAIRS = 1_024
const NO_PAIRS = new Uint32Array(0)

/** Of bits of float16; NaN where one of them is no finite number. */
export function levelOfHalves(bits: Uint16Array): number {
  const isAligned = bits.byteOffset % 4 === 0
  const pairs = isAligned ? new Uint32Array(bits.buffer, bits.byteOffset, bits.length >> 1) : NO_PAIRS
  let total = 0
  // Two at once: this runs for every row that comes and goes.
  for (let from = 0; from < pairs.length; from += PAIRS) {
    const to = Math.min(pairs.length, from + PAIRS)
    let [sums, carry] = [0, 0]
    for (let at = from; at < to; at++) {
      const exponents = pairs[at]! & 0x7c007c00
      // An exponent of 31 is carried into the place of the sign.
      carry |= exponents + 0x04000400
      sums += exponents >>> 10
    }
    if ((carry & 0x80008000) !== 0) return Number.NaN
    total += (sums & 0xffff) + (sums >>> 16)
  }
  for (let at = 2 * pairs.length; at < bits.length; at++) {
    const exponent = (bits[at]! >>> 10) & 31
    if (exponent === 31) return Number.NaN
    total += exponent
  }
  return total / bits.length - BIAS_HALF
}

/** Of bits of float32; NaN where one of them is no finite number. */
export function levelOfSingles(bits: Uint32Array): number {
  // As signed numbers: unsigned ones above half their range are no small numbers for the engine.
  const signed = new Int32Array(bits.buffer, bits.byteOffset, bits.length)
  const least = BIAS_SINGLE + LEAST_LEVEL
  let total = 0
  let greatest = 0
  for (let at = 0; at < signed.length; at++) {
    const exponent = (signed[at]! >> 23) & 255
    if (exponent > greatest) greatest = exponent
    total += exponent > least ? exponent : least
  }
  return greatest === 255 ? Number.NaN : total / bits.length - BIAS_SINGLE
}
