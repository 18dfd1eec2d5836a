/**
 * Samples of the discrete Gaussian (Canonne, Kamath, Steinke 2020, arXiv 2004.00010), exactly: rejection from a histogram that lies
 * above it, all of whose numbers are whole. Floating point only guesses; what is too near to call is computed in full.
 */
import { ParameterRangeError } from '../errors.ts'
import { isBelowExp } from './below-exp.ts'
import type { Rational } from './below-exp.ts'
import { fillWords } from './words.ts'
import type { Words } from './words.ts'

/** Beyond it the largest values no longer fit 53 bits. */
const MAX_SIGMA = 2 ** 40
/** A guess nearer than this to an edge is no answer: far more than doubles, and the library's exp, err here. */
const DOUBT = 2 ** -40
const WORD_BITS = 32
/** Of a uniform number, before it is known whether more are asked for. */
const GUESS_BITS = 53

/** Weights of all bins together: what the upper bits of a word choose from. */
const WEIGHT_BITS = 28
const TOTAL = 2 ** WEIGHT_BITS
/** Of those bits, the ones by which the first bin that may be meant is looked up. */
const GUIDE_BITS = 12
/** Bins are at most this part of sigma wide: so seldom does a value under the histogram lie above the curve. */
const PART = 32
/** Beyond so many sigmas the curve is below everything that a weight can say. */
const REACH = 12
/** A place in a bin of at most so many bits leaves enough of its word for the number that decides. */
const MOST_PLACE_BITS = 16

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
  /** Places in a bin and a sign are numbers of so many bits. */
  readonly placeBits: number
  /** The first bits of a uniform number: what a word has beside a place, and all of one where that is not enough. */
  readonly firstBits: number
  /** Of those bits, what is below it: under the curve at all of the bin. */
  readonly certain: Uint32Array
  readonly guide: Uint16Array
  readonly unit: number
}

/**
 * @param sigma its square is the parameter: P(x) ~ exp(-x^2 / 2 sigma^2), x an integer
 * @throws ParameterRangeError
 */
export function discreteGaussian(words: Words, sigma: number): () => number {
  const histogram = histogramFor(sigma)
  return histogram === undefined ? () => 0 : () => drawn(words, histogram)
}

/** Numbers whose words are drawn together: they stay in the processor's cache. */
const TOGETHER = 2048

/** Adds a sample of its own to each of these: the same law, in half the time. @throws ParameterRangeError */
export function addDiscreteGaussian(words: Words, sigma: number, values: Float64Array): void {
  const histogram = histogramFor(sigma)
  if (histogram === undefined) return
  const { width, tail, before, certain, guide, placeBits } = histogram
  if (placeBits > MOST_PLACE_BITS) {
    for (let index = 0; index < values.length; index++) values[index]! += drawn(words, histogram)
    return
  }
  const both = new Uint32Array(2 * TOGETHER)
  for (let from = 0; from < values.length; from += TOGETHER) {
    const count = Math.min(TOGETHER, values.length - from)
    fillWords(words, count === TOGETHER ? both : both.subarray(0, 2 * count))
    for (let index = 0; index < count; index++) {
      const chosen = both[2 * index]! >>> (WORD_BITS - WEIGHT_BITS)
      let bin = guide[chosen >>> (WEIGHT_BITS - GUIDE_BITS)]!
      while (bin < tail && chosen >= before[bin + 1]!) bin++
      const word = both[2 * index + 1]!
      const place = word & (2 * width - 1)
      const negative = Number(place >= width)
      const isZeroAgain = bin === 0 && place === width
      if (bin < tail && !isZeroAgain && word >>> placeBits < certain[bin]!) {
        values[from + index]! += (1 - 2 * negative) * (bin * width + place - negative * width)
      } else {
        const value = settled(words, histogram, bin, place, word >>> placeBits)
        values[from + index]! += Number.isNaN(value) ? drawn(words, histogram) : value
      }
    }
  }
}

/** The one of the step before: sigma stays what it is from step to step. */
let last: Histogram | undefined

/** Undefined where all is at 0. @throws ParameterRangeError */
function histogramFor(sigma: number): Histogram | undefined {
  if (!(sigma >= 0 && sigma <= MAX_SIGMA)) throw new ParameterRangeError(`sigma = ${sigma} is not within 0 and 2^40`)
  if (sigma === 0) return undefined
  if (last?.sigma !== sigma) last = histogramOf(sigma)
  return last
}

/** Two words for all but two of a hundred: which bin, and where in it and whether under the curve. */
function drawn(words: Words, histogram: Histogram): number {
  const { width, tail, before, guide, placeBits } = histogram
  const isNarrow = placeBits <= MOST_PLACE_BITS
  for (;;) {
    const chosen = words.next() >>> (WORD_BITS - WEIGHT_BITS)
    let bin = guide[chosen >>> (WEIGHT_BITS - GUIDE_BITS)]!
    while (bin < tail && chosen >= before[bin + 1]!) bin++
    const word = isNarrow ? words.next() : words.below(2 * width)
    const place = isNarrow ? word & (2 * width - 1) : word
    const value = settled(words, histogram, bin, place, isNarrow ? word >>> placeBits : words.next())
    if (!Number.isNaN(value)) return value
  }
}

/**
 * What a bin, a place in it and the first bits of a uniform number come to; NaN: it lies above the curve, and another is drawn.
 * @param place in the bin of positive numbers, and from `width` on in that of negative ones
 */
function settled(words: Words, histogram: Histogram, bin: number, place: number, first: number): number {
  const { width, tail, certain } = histogram
  // Without a branch for what is as often this as that.
  const negative = Number(place >= width)
  // Zero has one sign.
  if (bin === 0 && place === width) return Number.NaN
  const further = bin === tail ? leadingHeads(words) : 0
  const size = (bin + further) * width + place - negative * width
  if (first < certain[bin]! || isUnder(words, first, size, histogram, bin, further)) return (1 - 2 * negative) * size
  return Number.NaN
}

/** Of the curve, 1 at 0. */
function curveAt(x: number, sigma: number): number {
  return Math.exp(-((x / sigma) ** 2) / 2)
}

/** Whether a uniform number that begins with these bits is below what the curve is of the histogram, there as high as its bin. */
function isUnder(
  words: Words,
  first: number,
  size: number,
  { sigma, unit, weights, tail, firstBits }: Histogram,
  bin: number,
  further: number,
): boolean {
  const bits = Math.min(GUESS_BITS, firstBits + WORD_BITS)
  const drawn = first * 2 ** (bits - firstBits) + (words.next() >>> (firstBits + WORD_BITS - bits))
  const halvings = bin === tail ? further + 1 : 0
  const edge = ((unit * 2 ** halvings) / weights[bin]!) * curveAt(size, sigma)
  const u = drawn / 2 ** bits
  if (Math.abs(u - edge) > DOUBT) return u < edge
  const times = { numerator: BigInt(unit) << BigInt(halvings), denominator: BigInt(weights[bin]!) }
  const { numerator, denominator } = rationalOf(sigma)
  const exponent = { numerator: (BigInt(size) * denominator) ** 2n, denominator: 2n * numerator ** 2n }
  return isBelowExp(words, BigInt(drawn), BigInt(bits), { exponent, times })
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
  const placeBits = Math.log2(2 * width)
  const firstBits = placeBits <= MOST_PLACE_BITS ? WORD_BITS - placeBits : WORD_BITS
  const certain = Uint32Array.from(weights, (weight, bin) => {
    const least = bin === bins - 1 ? 0 : (unit * curve((bin + 1) * width - 1)) / weight
    return Math.max(0, Math.floor(least * 2 ** firstBits) - 2)
  })
  return { sigma, tail: bins - 1, width, placeBits, firstBits, weights, before, certain, guide: guideOf(before), unit }
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
