/** Mean and deviation of a column over all sites, out of sums: nobody tells its own. */
import { ParameterRangeError } from '../errors.ts'
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
