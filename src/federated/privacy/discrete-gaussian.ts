/**
 * Samples of the discrete Gaussian (Canonne, Kamath, Steinke 2020, arXiv 2004.00010), exactly: rejection from a histogram that lies
 * above it, all of whose numbers are whole. Floating point only guesses; what is too near to call is computed in full.
 */
import { ParameterRangeError } from '../errors.ts'
import { isBelowExp } from './below-exp.ts'
import type { Rational } from './below-exp.ts'
import type { Words } from './words.ts'

/** Beyond it the largest values no longer fit 53 bits. */
const MAX_SIGMA = 2 ** 40
/** A guess nearer than this to an edge is no answer: far more than doubles, and the library's exp, err here. */
const DOUBT = 2 ** -40
const TWO32 = 2 ** 32
const TWO53 = 2 ** 53

/** Weights of all bins together: what the upper bits of a word choose from. */
const WEIGHT_BITS = 28
const TOTAL = 2 ** WEIGHT_BITS
/** Of those bits, the ones by which the first bin that may be meant is looked up. */
const GUIDE_BITS = 12
/** Bins are at most this part of sigma wide: so seldom does a value under the histogram lie above the curve. */
const PART = 32
/** Beyond so many sigmas the curve is below everything that a weight can say. */
const REACH = 12

/**
 * Bins of `width` integers each, over the curve from 0 on; the last one is the tail, whose bin k places on has a 2^(k + 1)th of its
 * weight. A bin of weight w is as high as w / `unit`.
 */
interface Histogram {
  readonly sigma: number
  /** Index of the last bin. */
  readonly tail: number
  readonly width: number
  readonly weights: Float64Array
  /** Sums of the weights before each. */
  readonly before: Int32Array
  /** First words of a uniform number below this: under the curve at all of the bin. */
  readonly certain: Uint32Array
  readonly guide: Uint16Array
  readonly unit: number
}

/**
 * @param sigma its square is the parameter: P(x) ~ exp(-x^2 / 2 sigma^2), x an integer
 * @throws ParameterRangeError
 */
export function discreteGaussian(words: Words, sigma: number): () => number {
  if (!(sigma >= 0 && sigma <= MAX_SIGMA)) throw new ParameterRangeError(`sigma = ${sigma} is not within 0 and 2^40`)
  if (sigma === 0) return () => 0
  const histogram = histogramOf(sigma)
  return () => drawn(words, histogram)
}

function drawn(words: Words, histogram: Histogram): number {
  const { width, tail, before, certain, guide } = histogram
  for (;;) {
    const chosen = words.next() >>> (32 - WEIGHT_BITS)
    let bin = guide[chosen >>> (WEIGHT_BITS - GUIDE_BITS)]!
    while (bin < tail && chosen >= before[bin + 1]!) bin++
    const place = 2 * width <= TWO32 ? (words.next() & (2 * width - 1)) >>> 0 : words.below(2 * width)
    // Without a branch for what is as often this as that.
    const negative = Number(place >= width)
    const offset = place - negative * width
    // Zero has one sign.
    if (bin === 0 && place === width) continue
    const further = bin === tail ? leadingHeads(words) : 0
    const first = words.next()
    const size = (bin + further) * width + offset
    if (first < certain[bin]! || isUnder(words, first, size, histogram, heightOf(histogram, bin, further))) {
      return (1 - 2 * negative) * size
    }
  }
}

/** 1 / that of the histogram there. */
function heightOf({ tail, unit, weights }: Histogram, bin: number, further: number): Rational {
  const halved = bin === tail ? 2n ** BigInt(further + 1) : 1n
  return { numerator: BigInt(unit) * halved, denominator: BigInt(weights[bin]!) }
}

/** Of the curve, 1 at 0. */
function curveAt(x: number, sigma: number): number {
  return Math.exp(-((x / sigma) ** 2) / 2)
}

/** Whether a uniform number that begins with these 32 bits is below what the curve is of the histogram. */
function isUnder(words: Words, first: number, size: number, { sigma }: Histogram, times: Rational): boolean {
  const drawn = first * 2 ** 21 + (words.next() >>> 11)
  const part = Number(times.numerator) / Number(times.denominator)
  const edge = part * curveAt(size, sigma)
  const u = drawn / TWO53
  if (Math.abs(u - edge) > DOUBT) return u < edge
  const { numerator, denominator } = rationalOf(sigma)
  const exponent = { numerator: (BigInt(size) * denominator) ** 2n, denominator: 2n * numerator ** 2n }
  return isBelowExp(words, BigInt(drawn), 53n, { exponent, times })
}

function leadingHeads(words: Words): number {
  let heads = 0
  while ((words.next() & 1) === 1) heads++
  return heads
}

function histogramOf(sigma: number): Histogram {
  const width = 2 ** Math.max(0, Math.floor(Math.log2(sigma / PART)))
  const ratio = sigma / width
  // From there on the curve falls by half from bin to bin.
  const bins = 1 + Math.max(2, Math.ceil(REACH * ratio), Math.ceil(ratio * ratio * Math.LN2))
  const curve = (x: number): number => curveAt(x, sigma)
  const heights = Float64Array.from({ length: bins }, (_, bin) => (bin === bins - 1 ? 0 : curve(bin * width)))
  const unit = Math.floor((TOTAL - 3 * bins) / heights.reduce((sum, height) => sum + height, 0))
  // One more than it takes, so that no rounding leaves a bin below the curve.
  const weights = heights.map((height) => Math.ceil(unit * height) + 1)
  weights[0]! += TOTAL - weights.reduce((sum, weight) => sum + weight, 0)
  const before = new Int32Array(bins)
  for (let bin = 1; bin < bins; bin++) before[bin] = before[bin - 1]! + weights[bin - 1]!
  const certain = Uint32Array.from(weights, (weight, bin) => {
    const least = bin === bins - 1 ? 0 : (unit * curve((bin + 1) * width - 1)) / weight
    return Math.max(0, Math.floor(least * TWO32) - 2)
  })
  return { sigma, tail: bins - 1, width, weights, before, certain, guide: guideOf(before), unit }
}

/** For each beginning of a chosen weight, the first bin that it may lie in. */
function guideOf(before: Int32Array): Uint16Array {
  const guide = new Uint16Array(2 ** GUIDE_BITS)
  let bin = 0
  for (let start = 0; start < guide.length; start++) {
    while (bin + 1 < before.length && before[bin + 1]! <= start * 2 ** (WEIGHT_BITS - GUIDE_BITS)) bin++
    guide[start] = bin
  }
  return guide
}

/** A double is a whole number over a power of two. */
export function rationalOf(value: number): Rational {
  let denominator = 1n
  let scaled = value
  while (!Number.isInteger(scaled)) {
    scaled *= 2
    denominator *= 2n
  }
  return { numerator: BigInt(scaled), denominator }
}
