/** Sums, norms and checks that the strategies share. Vectors are float64 of equal length. */
import { EmptyInputError, NotFiniteError, ParameterRangeError, VectorLengthError } from '../errors.ts'
import type { Weighting } from './parameters.ts'
import type { AggregationInput, ClientUpdate } from './types.ts'

/** @throws EmptyInputError, VectorLengthError, NotFiniteError (with the member's place and the coordinate) */
export function checkInput({ global, state, clients }: AggregationInput): void {
  if (clients.length === 0) throw new EmptyInputError('there is no update')
  if (global.length === 0) throw new EmptyInputError('the model has no coordinate')
  checkFinite(global, 'the global model')
  for (const [name, vector] of Object.entries(state)) {
    if (vector.length !== global.length) throw new VectorLengthError(`the state "${name}" is not as long as the model`)
    checkFinite(vector, `the state "${name}"`)
  }
  for (const [party, { update, records, control }] of clients.entries()) {
    const length = [update, control].find((vector) => vector !== undefined && vector.length !== global.length)?.length
    if (length !== undefined) {
      throw new VectorLengthError(`member ${party} has a vector of ${length}, the model has ${global.length}`, {
        party,
      })
    }
    checkFinite(update, `the update of member ${party}`, party)
    if (control !== undefined) checkFinite(control, `the control variate of member ${party}`, party)
    if (!Number.isFinite(records) || records < 0) {
      throw new ParameterRangeError(`member ${party} cannot have ${records} records`, { party })
    }
  }
}

function checkFinite(vector: Float64Array, what: string, party?: number): void {
  const index = vector.findIndex((value) => !Number.isFinite(value))
  if (index < 0) return
  const place = party === undefined ? { index } : { party, index }
  throw new NotFiniteError(`${what} has ${vector[index]} at coordinate ${index}`, place)
}

/** The share of each member, together 1. @throws ParameterRangeError when nobody has a record */
export function shares(clients: readonly ClientUpdate[], by: Weighting): number[] {
  if (by === 'uniform') return clients.map(() => 1 / clients.length)
  const total = clients.reduce((sum, { records }) => sum + records, 0)
  if (!(total > 0)) throw new ParameterRangeError('all members together have no record to weigh them by')
  return clients.map(({ records }) => records / total)
}

export function weightedSum(vectors: readonly Float64Array[], weights: readonly number[]): Float64Array {
  const out = new Float64Array(vectors[0]!.length)
  for (const [at, vector] of vectors.entries()) {
    const weight = weights[at]!
    for (let index = 0; index < out.length; index++) out[index]! += weight * vector[index]!
  }
  return out
}

export function mean(vectors: readonly Float64Array[]): Float64Array {
  return weightedSum(
    vectors,
    vectors.map(() => 1 / vectors.length),
  )
}

/** w + h v */
export function moved(global: Float64Array, rate: number, direction: Float64Array): Float64Array {
  return global.map((value, index) => value + rate * direction[index]!)
}

export function stateOf(input: AggregationInput, name: string): Float64Array {
  return input.state[name] ?? new Float64Array(input.global.length)
}

export function difference(left: Float64Array, right: Float64Array): Float64Array {
  return left.map((value, index) => value - right[index]!)
}

export function squaredDistance(left: Float64Array, right: Float64Array): number {
  let sum = 0
  for (let index = 0; index < left.length; index++) sum += (left[index]! - right[index]!) ** 2
  return sum
}

/** Values of one coordinate, rising. */
export function column(vectors: readonly Float64Array[], index: number): Float64Array {
  return Float64Array.from(vectors, (vector) => vector[index]!).sort()
}

/** Of sorted values; of an even number the mean of the middle two. */
export function medianOf(sorted: Float64Array): number {
  const half = sorted.length / 2
  return Number.isInteger(half) ? (sorted[half - 1]! + sorted[half]!) / 2 : sorted[Math.floor(half)]!
}

/** The mean of the `count` values nearest the median of sorted ones; of equally near ones the smaller comes first. */
export function nearMedian(sorted: Float64Array, count: number): number {
  const middle = medianOf(sorted)
  const near = [...sorted].sort((one, other) => Math.abs(one - middle) - Math.abs(other - middle) || one - other)
  return near.slice(0, count).reduce((sum, value) => sum + value, 0) / count
}

/** The mean without `trim` values at each end. @throws ParameterRangeError when nothing is left */
export function trimmedMean(sorted: Float64Array, trim: number): number {
  if (2 * trim >= sorted.length)
    throw new ParameterRangeError(`of ${sorted.length} values ${trim} cannot be cut at each end`)
  let sum = 0
  for (let index = trim; index < sorted.length - trim; index++) sum += sorted[index]!
  return sum / (sorted.length - 2 * trim)
}

/** One number a coordinate. */
export function perCoordinate(
  vectors: readonly Float64Array[],
  reduce: (sorted: Float64Array) => number,
): Float64Array {
  return Float64Array.from(vectors[0]!, (_, index) => reduce(column(vectors, index)))
}
