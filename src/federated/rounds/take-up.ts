/** A state that others stand for, taken up by one that has another. */
import { JobRefusedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'
import { stateHash } from './state.ts'
import type { FedState } from './state.ts'
import type { Vote } from './wire.ts'

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
  await standing.adopt(state, votes, next)
}
