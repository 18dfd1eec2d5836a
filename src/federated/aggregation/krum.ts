/** Updates that lie near many others: Krum, Multi-Krum (arXiv 1703.02757) and Bulyan (arXiv 1802.07927). */
import { ParameterRangeError } from '../errors.ts'
import { checkInput, mean, moved, nearMedian, perCoordinate, squaredDistance } from './arithmetic.ts'
import { serverRate, whole } from './parameters.ts'
import type { Strategy, StrategyParameters } from './types.ts'

type Distances = readonly (readonly number[])[]

function distancesOf(updates: readonly Float64Array[]): Distances {
  return updates.map((left) => updates.map((right) => squaredDistance(left, right)))
}

/** Places among `left`, by score: the sum of the least distances to others; ties by the lower place. */
function ranked(distances: Distances, left: readonly number[], f: number): number[] {
  const near = Math.max(1, left.length - f - 2)
  const scores = new Map(
    left.map((place) => {
      const others = left.filter((other) => other !== place).map((other) => distances[place]![other]!)
      const least = others.sort((one, other) => one - other).slice(0, near)
      return [place, least.reduce((sum, distance) => sum + distance, 0)]
    }),
  )
  return left.toSorted((one, other) => scores.get(one)! - scores.get(other)! || one - other)
}

function checkMembers(name: string, count: number, least: number): void {
  if (count < least)
    throw new ParameterRangeError(`${name} needs ${least} updates for that many attackers, not ${count}`)
}

export function krum(parameters: StrategyParameters): Strategy {
  return picking('krum', parameters, 1)
}

/** The mean of the `m` lowest. */
export function multiKrum(parameters: StrategyParameters): Strategy {
  return picking('multikrum', parameters, whole(parameters, 'm', 1))
}

function picking(name: string, parameters: StrategyParameters, m: number): Strategy {
  const rate = serverRate(parameters)
  const f = whole(parameters, 'f', 0)
  return {
    name,
    sees: 'each',
    aggregate(input) {
      checkInput(input)
      const updates = input.clients.map(({ update }) => update)
      checkMembers(name, updates.length, Math.max(2 * f + 3, m))
      const selected = ranked(distancesOf(updates), [...updates.keys()], f)
        .slice(0, m)
        .sort((left, right) => left - right)
      const direction = mean(selected.map((place) => updates[place]!))
      return { global: moved(input.global, rate, direction), state: {}, selected }
    },
  }
}

/** Krum picks K - 2f, one after the other; then each coordinate is the mean of the K - 4f values nearest the median. */
export function bulyan(parameters: StrategyParameters): Strategy {
  const rate = serverRate(parameters)
  const f = whole(parameters, 'f', 0)
  return {
    name: 'bulyan',
    sees: 'each',
    aggregate(input) {
      checkInput(input)
      const updates = input.clients.map(({ update }) => update)
      checkMembers('bulyan', updates.length, 4 * f + 3)
      const distances = distancesOf(updates)
      const left = [...updates.keys()]
      const selected: number[] = []
      while (selected.length < updates.length - 2 * f) {
        const best = ranked(distances, left, f)[0]!
        selected.push(best)
        left.splice(left.indexOf(best), 1)
      }
      selected.sort((one, other) => one - other)
      const picks = selected.map((place) => updates[place]!)
      const direction = perCoordinate(picks, (sorted) => nearMedian(sorted, updates.length - 4 * f))
      return { global: moved(input.global, rate, direction), state: {}, selected }
    },
  }
}
