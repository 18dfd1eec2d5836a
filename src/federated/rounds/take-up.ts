/** A state that others stand for, taken up by one that has another: for good, or to stand for it as well. */
import { JobRefusedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'
import { stateHash, stepsOf } from './state.ts'
import type { FedState } from './state.ts'
import type { Vote } from './wire.ts'

/**
 * Numbers of rounds by which a peer may be ahead from the same model: beyond it, it would use up the 2^32 that there are,
 * and with them the job. Each takes a set that was signed; so many are days of them.
 */
export const MOST_AHEAD = 1 << 16

/**
 * So many members stand for a state that no t are left without one of them, and one at least is honest: no other sum can
 * be made from the model before, so who has no result takes theirs up and stands for it too. With fewer, they go back.
 */
export function votesToFollow({ members, math }: JobView): number {
  return Math.min(math.t, Math.max(2, members.length - math.t + 1))
}

/** Whether a member may go on to a state for which fewer than t stand. */
export function mayFollow(standing: MemberState, job: JobView, state: FedState, votes: readonly Vote[]): boolean {
  const isNext = stepsOf(state) === stepsOf(standing.current.state) + 1
  return standing.isCertified && isNext && votes.length >= votesToFollow(job)
}

/** @throws JobRefusedError when it is not what was voted for, or too few stand for it */
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
  const number = Math.min(next, standing.next + MOST_AHEAD)
  if (votes.length < job.math.t) {
    if (!mayFollow(standing, job, state, votes)) {
      throw new JobRefusedError(job.id, `${votes.length} members stand for a state`)
    }
    await standing.apply(state, standing.memory, number)
  } else if (Buffer.compare(standing.current.hash, hash) === 0) await standing.certify(hash, votes)
  else await standing.adopt(state, votes, number)
}
