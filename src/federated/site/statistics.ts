/** Mean and deviation of a column over all sites, out of sums: nobody tells its own. */
import { medianOf } from '../aggregation/arithmetic.ts'
import { ParameterRangeError } from '../errors.ts'
import type { ColumnRange } from '../plan/bounded-statistics.ts'
import { fixedOf, realOf, WIDE_FRACTION } from '../rounds/wide.ts'

/** Of one column over the training rows of one site, missing cells left out. */
export interface ColumnMoments {
  readonly column: string
  readonly count: number
  readonly mean: number
  /** Sum of the squared distances from the mean. */
  readonly squares: number
}

export interface PooledColumn {
  readonly column: string
  readonly count: number
  readonly mean: number
  /** Of the population; 1 where all values are equal. */
  readonly sd: number
}

export interface Pooled {
  /** Rows for training, of all sites. */
  readonly records: number
  readonly columns: readonly PooledColumn[]
}

/** Wide numbers that a site adds: records, then count, sum and sum of squares of each column, fixed-point. */
export function momentsToWide(records: number, columns: readonly ColumnMoments[]): bigint[] {
  const each = columns.flatMap(({ count, mean, squares }) => {
    const sum = count * mean
    return [fixedOf(count), fixedOf(sum), fixedOf(squares + sum * mean)]
  })
  return [fixedOf(records), ...each]
}

/** @throws ParameterRangeError: no rows of any sites have these sums */
export function pooledOf(names: readonly string[], sums: readonly bigint[]): Pooled {
  const records = realOf(sums[0]!)
  if (!(records >= 1)) throw new ParameterRangeError(`the sites have ${records} records together`)
  const columns = names.map((column, index): PooledColumn => {
    const [count, sum, squares] = sums.slice(1 + 3 * index, 4 + 3 * index) as [bigint, bigint, bigint]
    const n = realOf(count)
    if (n < 0 || n > records) throw new ParameterRangeError(`column ${column} has ${n} values in ${records} records`)
    if (n === 0) return { column, count: 0, mean: 0, sd: 1 }
    // N sum x^2 - (sum x)^2 in whole numbers: nothing is lost where the mean is far from 0.
    const spread = count * squares - sum * sum
    const sd = Math.sqrt(Math.max(0, Number(spread) / 2 ** (2 * WIDE_FRACTION))) / n
    const least = 1e-9 * Math.abs(realOf(sum) / n)
    return { column, count: n, mean: realOf(sum) / n, sd: sd > least ? sd : 1 }
  })
  return { records, columns }
}

/**
 * The same of the sums of buckets, some of which may be the work of attackers: of each column the median of the buckets' means, and that
 * of their deviations. A bucket whose sums are of no rows has no say.
 * @param least buckets with values in a column, one more than attackers: fewer may all be theirs, and it is as one without any.
 *   More would let an attacker that says it has none take a column from all
 * @throws ParameterRangeError: no bucket's are
 */
export function pooledOfBuckets(
  names: readonly string[],
  buckets: readonly (readonly bigint[])[],
  least: number = 1,
): Pooled {
  const possible = buckets.flatMap((sums) => {
    try {
      return [pooledOf(names, sums)]
    } catch (error) {
      if (error instanceof ParameterRangeError) return []
      throw error
    }
  })
  if (possible.length === 0) throw new ParameterRangeError('no bucket has sums that rows can have')
  const middle = (values: readonly number[]): number => medianOf(Float64Array.from(values).sort())
  const columns = names.map((column, index): PooledColumn => {
    const known = possible.map((one) => one.columns[index]!).filter(({ count }) => count > 0)
    if (known.length < least) return { column, count: 0, mean: 0, sd: 1 }
    return {
      column,
      count: buckets.length * middle(known.map(({ count }) => count)),
      mean: middle(known.map(({ mean }) => mean)),
      sd: middle(known.map(({ sd }) => sd)),
    }
  })
  return { records: buckets.length * middle(possible.map(({ records }) => records)), columns }
}

/**
 * What one record adds where each column has a range: 1, then of each column 1, u and u^2, with u the value brought into the
 * range and then within [-1, 1]; nothing of a column whose cell is missing. Norm sqrt(1 + 3 columns) at most.
 * @param values NaN: missing
 */
export function boundedRow(ranges: readonly ColumnRange[], values: readonly number[]): number[] {
  return [
    1,
    ...ranges.flatMap(({ low, high }, index) => {
      const value = values[index]!
      if (Number.isNaN(value)) return [0, 0, 0]
      const u = (2 * (Math.min(high, Math.max(low, value)) - low)) / (high - low) - 1
      return [1, u, u * u]
    }),
  ]
}

/**
 * From sums of such rows, with noise in them.
 * @param noise standard deviation of the noise in each sum: a spread below what it can feign is taken for that, since one
 *   that is too small would blow the column up
 * @param least records that all sites surely have: steps are divided by their number, which noise could bring near 0
 */
export function pooledWithin(
  ranges: readonly ColumnRange[],
  sums: ArrayLike<number>,
  noise: number,
  least: number = 1,
): Pooled {
  const records = Math.max(1, least, sums[0]!)
  const columns = ranges.map(({ column, low, high }, index): PooledColumn => {
    const [count, sum, squares] = [1, 2, 3].map((field) => sums[3 * index + field]!) as [number, number, number]
    const n = Math.min(records, Math.max(0, count))
    const half = (high - low) / 2
    if (n < 1) return { column, count: n, mean: (low + high) / 2, sd: half }
    const mean = Math.min(1, Math.max(-1, sum / n))
    const variance = Math.min(1, Math.max(squares / n - mean * mean, noise / n))
    return { column, count: n, mean: low + half * (1 + mean), sd: variance > 0 ? half * Math.sqrt(variance) : 1 }
  })
  return { records, columns }
}
