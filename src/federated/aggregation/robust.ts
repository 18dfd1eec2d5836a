/** Strategies that bear false updates. All of them must see each single one. */
import {
  checkInput,
  medianOf,
  moved,
  perCoordinate,
  shares,
  squaredDistance,
  trimmedMean,
  weightedSum,
} from './arithmetic.ts'
import { real, serverRate, weighting, whole } from './parameters.ts'
import type { Strategy, StrategyParameters } from './types.ts'

/** Yin et al., arXiv 1803.01498: unweighted, since a member's count of records is its own claim. */
export function median(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  return {
    name: 'median',
    sees: 'each',
    aggregate(input) {
      checkInput(input)
      const updates = input.clients.map(({ update }) => update)
      return { global: moved(input.global, rate, perCoordinate(updates, medianOf)), state: {} }
    },
  }
}

/** Yin et al., arXiv 1803.01498: `trim` values are cut at each end. */
export function trimmed(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const trim = whole(parameters, 'trim', 0)
  return {
    name: 'trimmed',
    sees: 'each',
    aggregate(input) {
      checkInput(input)
      const updates = input.clients.map(({ update }) => update)
      const direction = perCoordinate(updates, (sorted) => trimmedMean(sorted, trim))
      return { global: moved(input.global, rate, direction), state: {} }
    },
  }
}

/** Pillutla, Kakade, Harchaoui, arXiv 1912.13445: the smoothed Weiszfeld iteration towards the geometric median. */
export function geometricMedian(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const iterations = whole(parameters, 'iterations', 0, 10)
  const nu = real(parameters, 'nu', { above: 0 }, 1e-6)
  const by = weighting(parameters)
  return {
    name: 'geomedian',
    sees: 'each',
    aggregate(input) {
      checkInput(input)
      const updates = input.clients.map(({ update }) => update)
      const p = shares(input.clients, by)
      let v = weightedSum(updates, p)
      for (let round = 0; round < iterations; round++) {
        const b = updates.map((update, party) => p[party]! / Math.max(nu, Math.sqrt(squaredDistance(v, update))))
        const total = b.reduce((sum, weight) => sum + weight, 0)
        v = weightedSum(
          updates,
          b.map((weight) => weight / total),
        )
      }
      return { global: moved(input.global, rate, v), state: {} }
    },
  }
}
