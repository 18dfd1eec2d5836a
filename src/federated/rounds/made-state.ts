/** A new state out of a sum that anybody may have spoilt: what cannot be one ends the round, and not the member. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import type { Outcome } from './plain-member.ts'
import type { Begun, FedState } from './state.ts'

/** The state after a round. @param begun what training begins with, for the statistics */
export function stateAfter(
  { math }: JobView,
  state: FedState,
  { sums, survivors, each, buckets }: Pick<Outcome, 'sums' | 'survivors' | 'each' | 'buckets'>,
  begun: Begun,
): FedState {
  if (each !== undefined) return math.applyEach(state, each)
  if (buckets !== undefined) return math.applyBuckets(state, buckets, () => begun)
  return math.apply(state, sums, survivors, () => begun)
}

/** @throws RoundAbortedError: the sum makes no state */
export function madeOf(session: number, make: () => FedState): FedState {
  let made: FedState
  try {
    made = make()
  } catch (error) {
    throw new RoundAbortedError(session, 'applying', (error as Error).message, error)
  }
  const arrays = [made.global, ...Object.values(made.strategy)]
  const odd = arrays.some((array) => array.some((value) => !Number.isFinite(value)))
  if (odd || (made.clip !== null && !(made.clip > 0))) {
    throw new RoundAbortedError(session, 'applying', 'the sum makes a model with values that are not finite')
  }
  return made
}
