/** A state that others stand for, taken up by one that has another. */
import { JobRefusedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'
import { stateHash } from './state.ts'
import type { FedState } from './state.ts'
import type { Vote } from './wire.ts'

/**
 * Numbers of rounds by which a peer may be ahead from the same model: beyond it, it would use up the 2^32 that there are,
 * and with them the job. Each takes a set that was signed; so many are days of them.
 */
export const MOST_AHEAD = 1 << 16

/** @throws JobRefusedError when it is not what was voted for */
export async function takeUp(
  standing: MemberState,
  job: JobView,
  state: FedState,
  hash: Uint8Array,
  votes: readonly Vote[],
  next: number,
): Promise<void> {
  if (Buffer.compare(stateHash(state), hash) !== 0) {
    throw new JobRefusedError(job.id, 'a state is not the one that was voted for')
  }
  if (Buffer.compare(standing.current.hash, hash) === 0) await standing.certify(hash, votes)
  else await standing.adopt(state, votes, Math.min(next, standing.next + MOST_AHEAD))
}
