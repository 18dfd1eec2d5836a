/** Mean and variance of a column: exact sums without privacy, sums of bounded values under it. */
import type { StatisticOf } from '../plan/analysis-schema.ts'
import { fixedOf, realOf, WIDE_FRACTION } from '../rounds/wide.ts'
import { bySum, grouped, roundedUnits } from './part.ts'
import type { Part } from './part.ts'

const FRACTION = BigInt(WIDE_FRACTION)
const LOWER = (1n << FRACTION) - 1n

/** Readings: count, mean, variance of the population. */
export function momentsPart(spec: StatisticOf<'moments'>, isPrivate: boolean): Part {
  const { column, range } = spec
  return grouped(isPrivate ? bounded(column, range!) : exact(column, range), spec.by)
}

function exact(column: string, range: readonly [number, number] | undefined): Part {
  return {
    size: 0,
    // Squares have twice the digits behind the point: their lower half travels as well.
    wide: 4,
    columns: [column],
    ...bySum(0),
    tally: () => {
      const wide = [0n, 0n, 0n, 0n]
      return {
        counts: new Float64Array(),
        wide,
        add(row) {
          const value = row.number(column)
          if (value === undefined) return
          if (range !== undefined && (value < range[0] || value > range[1])) {
            row.fail(column, `${value} is not in [${range[0]}, ${range[1]}]`)
          }
          const fixed = fixedOf(value)
          wide[0]! += fixedOf(1)
          wide[1]! += fixed
          const square = fixed * fixed
          wide[2]! += square >> FRACTION
          wide[3]! += square & LOWER
        },
      }
    },
    read: (_, [count = 0n, sum = 0n, squares = 0n, lower = 0n]) => {
      const n = realOf(count)
      if (!(n > 0)) return [0, 0, 0]
      // In whole numbers: nothing is lost where the mean is far from 0, nor where values are small.
      const spread = count * ((squares << FRACTION) + lower) - ((sum * sum) << FRACTION)
      return [n, realOf(sum) / n, Math.max(0, Number(spread) / 2 ** (3 * WIDE_FRACTION)) / n / n]
    },
  }
}

/** A value is brought into its range, and then within [-1, 1]: a record changes (1, u, u^2) at most. */
function bounded(column: string, [low, high]: readonly [number, number]): Part {
  const [middle, half] = [(low + high) / 2, (high - low) / 2]
  return {
    size: 3,
    wide: 0,
    columns: [column],
    ...bySum(Math.sqrt(3)),
    tally: (needs) => {
      const counts = new Float64Array(3)
      return {
        counts,
        wide: [],
        add(row) {
          const value = row.number(column)
          if (value === undefined) return
          // Where doubles are coarse beside the range, the middle is none: what a record adds is bounded all the same.
          const u = Math.min(1, Math.max(-1, (Math.min(high, Math.max(low, value)) - middle) / half))
          counts[0]! += needs.scale
          counts[1]! += roundedUnits(u, needs)
          counts[2]! += roundedUnits(u * u, needs)
        },
      }
    },
    read: ([n = 0, sum = 0, squares = 0]) => {
      if (!(n >= 1)) return [Math.max(0, n), 0, 0]
      const mean = Math.min(1, Math.max(-1, sum / n))
      return [n, middle + half * mean, half * half * Math.min(1, Math.max(0, squares / n - mean * mean))]
    },
  }
}
