/** Softmax of rows of logits that come a part of the vocabulary at a time, beside what float32 gives. */
import { rounded } from './error.ts'

/** So that a hundredth of a percent can be told. */
const PERPLEXITY_DIGITS = 5

/** What float32 gives for a part of the vocabulary: made once for all that are compared with it. */
export interface SoftmaxPart {
  /** [rows, tokens] */
  readonly logits: Float32Array
  /** exp(logit - most), with the largest logit of each row. */
  readonly weights: Float32Array
  readonly most: Float64Array
  /** Sums of `weights`. */
  readonly sums: Float64Array
}

export function softmaxPart(logits: Float32Array, rows: number): SoftmaxPart {
  const width = logits.length / rows
  const weights = new Float32Array(logits.length)
  const [most, sums] = [new Float64Array(rows), new Float64Array(rows)]
  for (let row = 0; row < rows; row++) {
    const largest = largestOf(logits, row * width, (row + 1) * width)
    let sum = 0
    for (let at = row * width; at < (row + 1) * width; at++) sum += weights[at] = Math.exp(logits[at]! - largest)
    most[row] = largest
    sums[row] = sum
  }
  return { logits, weights, most, sums }
}

export interface Distance {
  readonly perplexity: number
  readonly divergence: number
  readonly chance: number
}

interface RowSums {
  /** Largest logit so far, here and in float32. */
  most: number
  mostWanted: number
  /** Sums of exp(logit - most). */
  sum: number
  sumWanted: number
  /** Sum of exp(wanted - mostWanted) (wanted - got). */
  apart: number
  /** Logit of the token that follows, here and in float32. */
  target: number
  targetWanted: number
}

export class Distribution {
  readonly #targets: Int32Array
  readonly #rows: RowSums[]

  /** @param targets of each row the token that follows; -1 where none is counted */
  constructor(targets: Int32Array) {
    this.#targets = targets
    const empty = { most: -Infinity, mostWanted: -Infinity, sum: 0, sumWanted: 0, apart: 0, target: 0, targetWanted: 0 }
    this.#rows = Array.from(targets, () => ({ ...empty }))
  }

  /** @param from the first token of the part */
  add(got: Float32Array, wanted: SoftmaxPart, from: number): void {
    const width = got.length / this.#rows.length
    for (const [row, sums] of this.#rows.entries()) {
      addRow(sums, got, wanted, row, width)
      const target = this.#targets[row]! - from
      if (target < 0 || target >= width) continue
      sums.target = got[row * width + target]!
      sums.targetWanted = wanted.logits[row * width + target]!
    }
  }

  distance(): Distance {
    let [nats, divergence, counted, squares, more] = [0, 0, 0, 0, 0]
    for (const [row, sums] of this.#rows.entries()) {
      if (this.#targets[row]! < 0) continue
      const log = sums.most + Math.log(sums.sum)
      const logWanted = sums.mostWanted + Math.log(sums.sumWanted)
      const own = log - sums.target
      const rise = own - (logWanted - sums.targetWanted)
      nats += own
      more += rise
      squares += rise * rise
      divergence += Math.max(0, sums.apart / sums.sumWanted - logWanted + log)
      counted++
    }
    return {
      perplexity: rounded(Math.exp(nats / counted), PERPLEXITY_DIGITS),
      divergence: rounded(divergence / counted),
      chance: rounded(Math.sqrt(Math.max(0, squares / counted - (more / counted) ** 2) / counted)),
    }
  }
}

function addRow(sums: RowSums, got: Float32Array, wanted: SoftmaxPart, row: number, width: number): void {
  const [first, end] = [row * width, (row + 1) * width]
  const most = Math.max(sums.most, largestOf(got, first, end))
  const mostWanted = Math.max(sums.mostWanted, wanted.most[row]!)
  let [sum, apart] = [0, 0]
  for (let at = first; at < end; at++) {
    sum += Math.exp(got[at]! - most)
    apart += wanted.weights[at]! * (wanted.logits[at]! - got[at]!)
  }
  const before = Math.exp(sums.mostWanted - mostWanted)
  const now = Math.exp(wanted.most[row]! - mostWanted)
  sums.sum = sums.sum * Math.exp(sums.most - most) + sum
  sums.sumWanted = sums.sumWanted * before + wanted.sums[row]! * now
  sums.apart = sums.apart * before + apart * now
  sums.most = most
  sums.mostWanted = mostWanted
}

function largestOf(values: Float32Array, first: number, end: number): number {
  let most = -Infinity
  for (let at = first; at < end; at++) if (values[at]! > most) most = values[at]!
  return most
}
