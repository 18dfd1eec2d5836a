/** Values to begin with, by the papers that they come from. */
import type { Seeded } from '../../data/index.ts'

export type Initialiser = (count: number, fanIn: number, fanOut: number, seeded: Seeded) => Float32Array

/** He et al., arXiv 1502.01852: normal, variance 2 / fan-in. For ReLU and its kin. */
export const heNormal: Initialiser = (count, fanIn, _, seeded) => {
  const deviation = Math.sqrt(2 / fanIn)
  return filled(count, () => deviation * seeded.normal())
}

/** Glorot and Bengio 2010: uniform, variance 2 / (fan-in + fan-out). For tanh, sigmoid and none. */
export const glorotUniform: Initialiser = (count, fanIn, fanOut, seeded) => {
  const bound = Math.sqrt(6 / (fanIn + fanOut))
  return filled(count, () => bound * (2 * seeded.uniform() - 1))
}

/** GPT-2's, for embeddings and decoder blocks: normal, deviation 0.02. */
export const smallNormal: Initialiser = (count, _, __, seeded) => filled(count, () => 0.02 * seeded.normal())

export const zeros: Initialiser = (count) => new Float32Array(count)

/** Saxe et al., arXiv 1312.6120: rows (or columns, where they are fewer) are orthonormal. `count` = fan-out x fan-in. */
export const orthogonal: Initialiser = (count, fanIn, fanOut, seeded) => {
  const [long, short] = [Math.max(fanIn, fanOut), Math.min(fanIn, fanOut)]
  const vectors: Float64Array[] = []
  while (vectors.length < short) {
    const vector = Float64Array.from({ length: long }, () => seeded.normal())
    // Twice: what is left of the others after the first time is rounding.
    for (const _ of [1, 2]) for (const other of vectors) takeOut(vector, other)
    const length = Math.hypot(...vector)
    if (length < 1e-6) continue
    vectors.push(vector.map((value) => value / length))
  }
  const result = new Float32Array(count)
  for (const [index, vector] of vectors.entries()) {
    for (let at = 0; at < long; at++) result[fanIn >= fanOut ? index * fanIn + at : at * fanIn + index] = vector[at]!
  }
  return result
}

function takeOut(vector: Float64Array, other: Float64Array): void {
  let product = 0
  for (let at = 0; at < vector.length; at++) product += vector[at]! * other[at]!
  for (let at = 0; at < vector.length; at++) vector[at]! -= product * other[at]!
}

function filled(count: number, value: () => number): Float32Array {
  return Float32Array.from({ length: count }, value)
}

/**
 * The initialiser that needs no generator, so that sites agree on it by its formula: parameter k of all weights, counted
 * through the model, is (2 / sqrt fan-in)((k 2654435761 mod 2^32) / 2^32 - 1/2). Biases count too, and are 0.
 */
export function hashValue(k: number, fanIn: number): number {
  return (2 / Math.sqrt(fanIn)) * ((Math.imul(k, 2654435761) >>> 0) / 2 ** 32 - 0.5)
}
