/** How often classes are right, and how far probabilities can be believed. */

/** The likeliest class of each row, the first of equals; with one score a row, whether it is above 0. */
export function predicted(scores: Float32Array, width: number): Uint32Array {
  if (width === 1) return Uint32Array.from(scores, (score) => Number(score > 0))
  return Uint32Array.from({ length: scores.length / width }, (_, row) => {
    let best = 0
    for (let at = 1; at < width; at++) if (scores[row * width + at]! > scores[row * width + best]!) best = at
    return best
  })
}

export function accuracy(classes: Uint32Array, targets: Float64Array): number {
  let right = 0
  for (const [row, value] of classes.entries()) right += Number(value === targets[row])
  return right / classes.length
}

/** Of class 1 where there are two; else the mean over the classes. A class that nobody says and that never is counts 0. */
export function f1(classes: Uint32Array, targets: Float64Array, count: number): number {
  const wanted = count === 2 ? [1] : Array.from({ length: count }, (_, index) => index)
  const each = wanted.map((one) => {
    let [hit, said, there] = [0, 0, 0]
    for (const [row, value] of classes.entries()) {
      hit += Number(value === one && targets[row] === one)
      said += Number(value === one)
      there += Number(targets[row] === one)
    }
    return said + there === 0 ? 0 : (2 * hit) / (said + there)
  })
  return each.reduce((sum, value) => sum + value, 0) / each.length
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
export function brier(chances: Float64Array, width: number, targets: Float64Array): number {
  let sum = 0
  for (let at = 0; at < chances.length; at++) {
    const row = Math.floor(at / width)
    const truth = width === 1 ? targets[row]! : Number(targets[row] === at % width)
    sum += (chances[at]! - truth) ** 2
  }
  return sum / (chances.length / width)
}

const BINS = 15

/** Expected calibration error over 15 bins of equal width (Guo et al., arXiv 1706.04599): of the chance of what is said. */
export function calibrationError(chances: Float64Array, width: number, targets: Float64Array): number {
  const [counts, sure, right] = [0, 1, 2].map(() => new Float64Array(BINS)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  const rows = chances.length / width
  for (let row = 0; row < rows; row++) {
    const { chance, isRight } =
      width === 1 ? ofPair(chances[row]!, targets[row]!) : ofClasses(chances, width, row, targets)
    const bin = Math.min(BINS - 1, Math.floor(chance * BINS))
    counts[bin]!++
    sure[bin]! += chance
    right[bin]! += Number(isRight)
  }
  return counts.reduce((sum, count, bin) => (count === 0 ? sum : sum + Math.abs(sure[bin]! - right[bin]!)), 0) / rows
}

function ofPair(chance: number, target: number): { chance: number; isRight: boolean } {
  const said = Number(chance > 0.5)
  return { chance: said === 1 ? chance : 1 - chance, isRight: said === target }
}

function ofClasses(
  chances: Float64Array,
  width: number,
  row: number,
  targets: Float64Array,
): { chance: number; isRight: boolean } {
  const own = chances.subarray(row * width, (row + 1) * width)
  const chance = Math.max(...own)
  return { chance, isRight: own.indexOf(chance) === targets[row] }
}
