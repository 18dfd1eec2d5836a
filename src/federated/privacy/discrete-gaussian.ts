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
const WORD_BITS = 32
/**
 * A guess nearer than this to an edge is no answer: far more than doubles and the library's exp err here, and than what the bits of a
 * uniform number that are drawn before a guess (`firstBits` and a word) leave open.
 */
const DOUBT = 2 ** -32

/** The histogram's area is cut into so many equal cells: the upper bits of a word choose one. */
const CELL_BITS = 14
const CELLS = 2 ** CELL_BITS
/** Bins are at most this part of sigma wide: so seldom does a value under the histogram lie above the curve. */
const PART = 128
/** So many sigmas away the tail begins. */
const REACH = 3
/** The curve goes into weights in such parts of a cell. */
const FINE_BITS = 16
/** A larger place in a bin takes a word of its own: what is left beside it would decide too seldom. */
const MOST_PLACE_BITS = 14
/** Of a uniform number, beside bin and place; they lie beside the bin in what is looked up. */
const MOST_FIRST_BITS = 16

/**
 * Bins over the curve from 0 on, of `width` integers on each side of it: bin b has b width, ... and their complements, -1 - b width, ...,
 * so that no integer is there twice. A bin of n cells is as high as n / `unit`. The last bin is the tail: blocks of `block` bins each, of
 * which the k-th has a 2^(k + 1)th of its cells.
 */
interface Histogram {
  readonly sigma: number
  /** Index of the last bin. */
  readonly tail: number
  readonly width: number
  readonly block: number
  /** In cells. */
  readonly weights: Float64Array
  /** Cells as high as the curve at 0, in parts of 2^-FINE_BITS of a cell. */
  readonly unit: number
  /** A place in a bin, and on which side, is a number of so many bits. */
  readonly placeBits: number
  /** The first bits of a uniform number that come with a place. */
  readonly firstBits: number
  /** By cell: its bin, and in the lower bits what first bits are below the curve at all of it. */
  readonly cells: Uint32Array
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
const TOGETHER = 4096

/** Adds a sample of its own to each of these: the same law, in a fraction of the time. @throws ParameterRangeError */
export function addDiscreteGaussian(words: Words, sigma: number, values: Float64Array): void {
  const histogram = histogramFor(sigma)
  if (histogram === undefined) return
  const { width, placeBits, firstBits, cells } = histogram
  if (placeBits > MOST_PLACE_BITS) {
    for (let index = 0; index < values.length; index++) values[index]! += drawn(words, histogram)
    return
  }
  const widthBits = placeBits - 1
  const firsts = 2 ** firstBits - 1
  const block = new Uint32Array(TOGETHER)
  for (let from = 0; from < values.length; from += TOGETHER) {
    const count = Math.min(TOGETHER, values.length - from)
    fillWords(words, count === TOGETHER ? block : block.subarray(0, count))
    for (let index = 0; index < count; index++) {
      const word = block[index]!
      const cell = cells[word >>> (WORD_BITS - CELL_BITS)]!
      if (((word >>> placeBits) & firsts) < (cell & CERTAIN)) {
        const size = ((cell >>> MOST_FIRST_BITS) << widthBits) | (word & (width - 1))
        // The complement, without a branch that would be guessed wrong every other time.
        values[from + index]! += size ^ -((word >>> widthBits) & 1)
      } else {
        const value = settled(words, histogram, word, word & (2 * width - 1))
        values[from + index]! += Number.isNaN(value) ? drawn(words, histogram) : value
      }
    }
  }
}

const CERTAIN = 2 ** MOST_FIRST_BITS - 1

/** The one of the step before: sigma stays what it is from step to step. */
let last: Histogram | undefined

/** Undefined where all is at 0. @throws ParameterRangeError */
function histogramFor(sigma: number): Histogram | undefined {
  if (!(sigma >= 0 && sigma <= MAX_SIGMA)) throw new ParameterRangeError(`sigma = ${sigma} is not within 0 and 2^40`)
  if (sigma === 0) return undefined
  if (last?.sigma !== sigma) last = histogramOf(sigma)
  return last
}

function drawn(words: Words, histogram: Histogram): number {
  const { width, placeBits } = histogram
  for (;;) {
    const word = words.next()
    const place = placeBits <= MOST_PLACE_BITS ? word & (2 * width - 1) : words.below(2 * width)
    const value = settled(words, histogram, word, place)
    if (!Number.isNaN(value)) return value
  }
}

/**
 * What a word and a place come to; NaN: they lie above the curve, and others are drawn.
 * @param place in its bin, and from `width` on in what lies on the other side of 0
 */
function settled(words: Words, histogram: Histogram, word: number, place: number): number {
  const { width, tail, block, placeBits, firstBits, cells } = histogram
  const cell = cells[word >>> (WORD_BITS - CELL_BITS)]!
  const bin = cell >>> MOST_FIRST_BITS
  const first = (placeBits <= MOST_PLACE_BITS ? word >>> placeBits : word) & (2 ** firstBits - 1)
  const blocks = bin === tail ? leadingHeads(words) : 0
  const within = bin === tail ? words.below(block) : 0
  const isBelow = place >= width
  const size = (bin + blocks * block + within) * width + place - (isBelow ? width : 0)
  const value = isBelow ? -1 - size : size
  return first < (cell & CERTAIN) || isUnder(words, first, Math.abs(value), histogram, bin, blocks) ? value : Number.NaN
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
  { sigma, unit, weights, tail, block, firstBits }: Histogram,
  bin: number,
  blocks: number,
): boolean {
  const bits = firstBits + WORD_BITS
  const number = first * 2 ** WORD_BITS + words.next()
  // A power of two, as blocks are.
  const parts = bin === tail ? 2 ** (blocks + 1) * block : 1
  const edge = ((unit * parts) / (weights[bin]! * 2 ** FINE_BITS)) * curveAt(size, sigma)
  const u = number / 2 ** bits
  if (Math.abs(u - edge) > DOUBT) return u < edge
  const times = { numerator: BigInt(unit) * BigInt(parts), denominator: BigInt(weights[bin]!) << BigInt(FINE_BITS) }
  const { numerator, denominator } = rationalOf(sigma)
  const exponent = { numerator: (BigInt(size) * denominator) ** 2n, denominator: 2n * numerator ** 2n }
  return isBelowExp(words, BigInt(number), BigInt(bits), { exponent, times })
}

function leadingHeads(words: Words): number {
  let heads = 0
  while ((words.next() & 1) === 1) heads++
  return heads
}

/** Rounding leaves no bin below the curve, and nothing certain that is not. */
const MARGIN = 2 ** -40

function histogramOf(sigma: number): Histogram {
  const width = 2 ** Math.max(0, Math.floor(Math.log2(sigma / PART)))
  const ratio = sigma / width
  const tail = Math.max(1, Math.ceil(REACH * ratio))
  // So wide that the curve falls by half and more from block to block.
  const block = 2 ** Math.max(0, Math.ceil(Math.log2((ratio * ratio * Math.LN2 * (1 + MARGIN)) / tail)))
  const curve = (bin: number): number => curveAt(bin * width, sigma)
  const heights = Float64Array.from({ length: tail + 1 }, (_, bin) => curve(bin) * (bin === tail ? 2 * block : 1))
  const { unit, weights } = fitted(heights)
  const placeBits = Math.log2(2 * width)
  const beside = WORD_BITS - CELL_BITS - (placeBits <= MOST_PLACE_BITS ? placeBits : 0)
  const firstBits = Math.min(MOST_FIRST_BITS, beside)
  const cells = new Uint32Array(CELLS)
  let from = 0
  for (const [bin, weight] of weights.entries()) {
    const least = bin === tail ? 0 : (unit * curve(bin + 1)) / (weight * 2 ** FINE_BITS)
    const certain = Math.floor(least * 2 ** firstBits * (1 - MARGIN))
    cells.fill(bin * 2 ** MOST_FIRST_BITS + certain, from, (from += weight))
  }
  return { sigma, tail, width, block, weights, unit, placeBits, firstBits, cells }
}

/** The most cells at 0 with which all bins are above the curve; what is left over goes to the first. */
function fitted(heights: Float64Array): { readonly unit: number; readonly weights: Float64Array } {
  const weightsAt = (unit: number): Float64Array =>
    heights.map((height) => Math.max(1, Math.ceil(((unit * height) / 2 ** FINE_BITS) * (1 + MARGIN))))
  const spare = (weights: Float64Array): number => CELLS - weights.reduce((sum, weight) => sum + weight, 0)
  let [unit, more] = [0, CELLS * 2 ** FINE_BITS]
  while (more - unit > 1) {
    const middle = Math.floor((unit + more) / 2)
    if (spare(weightsAt(middle)) >= 0) unit = middle
    else more = middle
  }
  const weights = weightsAt(unit)
  weights[0]! += spare(weights)
  return { unit, weights }
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
