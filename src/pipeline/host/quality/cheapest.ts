/** Which format a block gets in a model that pays so much for errors. */
import type { BlockErrors, WeightFormat } from '../../../models/index.ts'
import type { Candidate } from './protocol.ts'

/**
 * Least memory plus price times squared error; of equal ones the first. Errors of blocks add up like those of independent
 * noise, by their squares, so one price for all blocks gives the least damage for the memory.
 */
export function cheapest(candidates: readonly Candidate[], errors: BlockErrors, price: number): WeightFormat {
  let best = candidates[0]!
  let least = Infinity
  for (const candidate of candidates) {
    const cost = candidate.memory + price * errors[candidate.weights]! ** 2
    if (cost < least) {
      least = cost
      best = candidate
    }
  }
  return best.weights
}
