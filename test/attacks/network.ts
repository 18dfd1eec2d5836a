/** A small network in float64 whose gradients are written out: what attacks on gradients work on. */
import type { Seeded } from '../../src/data/index.ts'

export interface Network {
  readonly inputs: number
  readonly hidden: number
  /** [hidden][inputs] */
  readonly weights: Float64Array[]
  readonly biases: Float64Array
  readonly out: Float64Array
}

/** Rare activations: each hidden unit looks for something that few records have. */
export function trapNetwork(inputs: number, hidden: number, bias: number, seeded: Seeded): Network {
  return {
    inputs,
    hidden,
    weights: Array.from({ length: hidden }, () => Float64Array.from({ length: inputs }, () => seeded.normal())),
    biases: Float64Array.from({ length: hidden }, () => bias),
    out: Float64Array.from({ length: hidden }, () => seeded.normal() / Math.sqrt(hidden)),
  }
}

/** Gradient of the logistic loss of one record, flat: for each hidden unit its weights, then its bias; then `out`. */
export function gradientOf(
  { hidden, inputs, weights, biases, out }: Network,
  x: Float64Array,
  y: number,
): Float64Array {
  const active = weights.map((row, unit) => {
    let sum = biases[unit]!
    for (let at = 0; at < inputs; at++) sum += row[at]! * x[at]!
    return Math.max(0, sum)
  })
  let score = 0
  for (const [unit, value] of active.entries()) score += out[unit]! * value
  const error = 1 / (1 + Math.exp(-score)) - y
  const gradient = new Float64Array(hidden * (inputs + 1) + hidden)
  for (let unit = 0; unit < hidden; unit++) {
    const from = unit * (inputs + 1)
    gradient[hidden * (inputs + 1) + unit] = error * active[unit]!
    if (active[unit]! <= 0) continue
    const delta = error * out[unit]!
    for (let at = 0; at < inputs; at++) gradient[from + at] = delta * x[at]!
    gradient[from + inputs] = delta
  }
  return gradient
}

/** Records that the gradient of the first layer lays open: weights over bias, unit by unit (Phong et al. 2017). */
export function inverted(gradient: Float64Array, { hidden, inputs }: Network): Float64Array[] {
  const found: Float64Array[] = []
  for (let unit = 0; unit < hidden; unit++) {
    const from = unit * (inputs + 1)
    const bias = gradient[from + inputs]!
    if (Math.abs(bias) < 1e-12) continue
    found.push(Float64Array.from(gradient.subarray(from, from + inputs), (value) => value / bias))
  }
  return found
}

export function cosine(left: Float64Array, right: Float64Array): number {
  let [product, a, b] = [0, 0, 0]
  for (const [index, value] of left.entries()) {
    product += value * right[index]!
    a += value * value
    b += right[index]! ** 2
  }
  return a === 0 || b === 0 ? 0 : product / Math.sqrt(a * b)
}

/** Share of the records that some reconstruction meets: cosine 0.99; and the best cosine of all. */
export function recovered(
  records: readonly Float64Array[],
  found: readonly Float64Array[],
): { readonly share: number; readonly best: number } {
  const best = records.map((record) => Math.max(-1, ...found.map((one) => Math.abs(cosine(record, one)))))
  return { share: best.filter((value) => value >= 0.99).length / records.length, best: Math.max(...best) }
}

export function randomRecords(count: number, inputs: number, seeded: Seeded): Float64Array[] {
  return Array.from({ length: count }, () => Float64Array.from({ length: inputs }, () => seeded.normal()))
}

export function sumOf(all: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(all[0]!.length)
  for (const one of all) for (const [index, value] of one.entries()) sum[index]! += value
  return sum
}
