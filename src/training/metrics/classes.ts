/** How often classes are right, and how far probabilities can be believed. What they keep does not grow with the rows. */
import type { Meter, Said } from './types.ts'

/** The likeliest class of each row, the first of equals; with one score a row, whether it is above 0. */
export function predicted(scores: Float32Array, width: number): Uint32Array {
  if (width === 1) return Uint32Array.from(scores, (score) => Number(score > 0))
  return Uint32Array.from({ length: scores.length / width }, (_, row) => {
    let best = 0
    for (let at = 1; at < width; at++) if (scores[row * width + at]! > scores[row * width + best]!) best = at
    return best
  })
}

export class Accuracy implements Meter {
  #right = 0
  #rows = 0

  add({ scores, width, targets }: Said): void {
    const classes = predicted(scores, width)
    for (const [row, value] of classes.entries()) this.#right += Number(value === targets[row])
    this.#rows += classes.length
  }

  value(): number {
    return this.#right / this.#rows
  }
}

/** Of class 1 where there are two; else the mean over the classes. A class that nobody says and that never is counts 0. */
export class F1 implements Meter {
  readonly #hit: number[] = []
  readonly #said: number[] = []
  readonly #there: number[] = []

  add({ scores, width, targets }: Said): void {
    for (let one = this.#hit.length; one < Math.max(2, width); one++) {
      for (const counts of [this.#hit, this.#said, this.#there]) counts.push(0)
    }
    for (const [row, value] of predicted(scores, width).entries()) {
      const target = targets[row]!
      this.#said[value]!++
      // A label that counts as nothing is no class.
      if (this.#there[target] !== undefined) this.#there[target]++
      if (value === target) this.#hit[value]!++
    }
  }

  value(): number {
    const each = this.#hit.map((hit, one) => {
      const all = this.#said[one]! + this.#there[one]!
      return all === 0 ? 0 : (2 * hit) / all
    })
    return each.length === 2 ? each[1]! : each.reduce((sum, value) => sum + value, 0) / each.length
  }
}

/** [rows, width] by softmax; by the logistic function where the width is 1. */
export function probabilities(scores: Float32Array, width: number): Float64Array {
  if (width === 1) return Float64Array.from(scores, (score) => 1 / (1 + Math.exp(-score)))
  const result = Float64Array.from(scores)
  for (let from = 0; from < result.length; from += width) {
    const row = result.subarray(from, from + width)
    const most = Math.max(...row)
    let sum = 0
    for (let at = 0; at < width; at++) sum += row[at] = Math.exp(row[at]! - most)
    for (let at = 0; at < width; at++) row[at]! /= sum
  }
  return result
}

/** Brier 1950: mean of the squared distance to the truth, summed over the classes; of class 1 alone where the width is 1. */
export class Brier implements Meter {
  #sum = 0
  #rows = 0

  add({ scores, width, targets }: Said): void {
    const chances = probabilities(scores, width)
    for (const [at, chance] of chances.entries()) {
      const row = Math.floor(at / width)
      const truth = width === 1 ? targets[row]! : Number(targets[row] === at % width)
      this.#sum += (chance - truth) ** 2
    }
    this.#rows += chances.length / width
  }

  value(): number {
    return this.#sum / this.#rows
  }
}

const BINS = 15

/** Expected calibration error over 15 bins of equal width (Guo et al., arXiv 1706.04599): of the chance of what is said. */
export class CalibrationError implements Meter {
  readonly #counts = new Float64Array(BINS)
  readonly #sure = new Float64Array(BINS)
  readonly #right = new Float64Array(BINS)
  #rows = 0

  add({ scores, width, targets }: Said): void {
    const chances = probabilities(scores, width)
    const rows = chances.length / width
    for (let row = 0; row < rows; row++) {
      const { chance, isRight } =
        width === 1 ? ofPair(chances[row]!, targets[row]!) : ofClasses(chances, width, row, targets)
      const bin = Math.min(BINS - 1, Math.floor(chance * BINS))
      this.#counts[bin]!++
      this.#sure[bin]! += chance
      this.#right[bin]! += Number(isRight)
    }
    this.#rows += rows
  }

  value(): number {
    const gap = (count: number, bin: number): number =>
      count === 0 ? 0 : Math.abs(this.#sure[bin]! - this.#right[bin]!)
    return this.#counts.reduce((sum, count, bin) => sum + gap(count, bin), 0) / this.#rows
  }
}

function ofPair(chance: number, target: number): { chance: number; isRight: boolean } {
  const said = Number(chance > 0.5)
  return { chance: said === 1 ? chance : 1 - chance, isRight: said === target }
}

function ofClasses(
  chances: Float64Array,
  width: number,
  row: number,
  targets: ArrayLike<number>,
): { chance: number; isRight: boolean } {
  const own = chances.subarray(row * width, (row + 1) * width)
  const chance = Math.max(...own)
  return { chance, isRight: own.indexOf(chance) === targets[row] }
}
