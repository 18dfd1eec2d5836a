/** What a member says of itself to whoever aggregates, in a round of all as in one of its group. */
import type { JobView } from './job-view.ts'
import type { MemberNeeds } from './member-types.ts'
import { stepsOf } from './state.ts'
import { voteBytes } from './votes.ts'
import type { Body } from './wire.ts'

interface Greeting extends Pick<MemberNeeds, 'standing' | 'self'> {
  readonly job: Pick<JobView, 'id' | 'planHash'>
}

export function helloOf({
  job,
  standing,
  self,
}: Greeting): Pick<Body<'hello'>, 'job' | 'plan' | 'next' | 'done' | 'state' | 'vote'> {
  const { state, hash } = standing.current
  return {
    job: job.id,
    plan: job.planHash,
    next: standing.next,
    done: stepsOf(state),
    state: hash,
    vote: self.sign(voteBytes(job.id, hash)),
  }
}
