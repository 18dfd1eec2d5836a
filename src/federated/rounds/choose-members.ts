/** When a round begins, and with whom; until then, whom it waits for and why. */
import type { JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'

export interface ReadyMember {
  readonly peer: string
  readonly hello: { readonly bound?: readonly string[] | null | undefined }
}

export interface Question<G extends ReadyMember> {
  readonly job: JobView
  readonly standing: MemberState
  /** Who is ready. */
  readonly ready: readonly G[]
  /** Milliseconds since the first of them came. */
  readonly waited: number
  readonly times: { readonly graceMs: number }
  /** Whether a member has come, ready or not; whether it is connected at all. */
  readonly isHere: (peer: string) => boolean
  readonly isPresent: (peer: string) => boolean
}

export type Choice<G> = { readonly guests: readonly G[] } | { readonly peers: readonly string[]; readonly why: string }

/** Of the first round, in terms of the others'. */
const FIRST_PATIENCE = 3

export function chooseMembers<G extends ReadyMember>(question: Question<G>): Choice<G> {
  const { job, standing, ready, waited, times, isHere, isPresent } = question
  const bound = ready.map(({ hello }) => hello.bound ?? null).find((peers) => peers !== null) ?? standing.bound
  if (bound !== null && !job.math.isPrivate) {
    const missing = bound.filter((peer) => !ready.some((guest) => guest.peer === peer))
    if (missing.length > 0) {
      return {
        peers: missing,
        why: 'their sum was signed and its result is not known: without noise no other may be made from this model',
      }
    }
    return { guests: ready.filter(({ peer }) => bound.includes(peer)) }
  }
  const absent = job.peers.filter((peer) => !ready.some((guest) => guest.peer === peer))
  if (absent.length === 0) return { guests: ready }
  if (ready.length < job.least) {
    return { peers: absent, why: `${ready.length} of at least ${job.least} members are here` }
  }
  const slow = absent.filter((peer) => isHere(peer) || isPresent(peer))
  if (slow.length > 0 && waited < job.deadlineMs) {
    return { peers: slow, why: 'they are connected and have not finished yet' }
  }
  // What the columns are like is asked once, and holds for all rounds: who is missing then is waited for longer.
  const patience = standing.current.state.pooled === null ? FIRST_PATIENCE * times.graceMs : times.graceMs
  if (waited < patience) return { peers: absent, why: 'they are not connected' }
  return { guests: ready }
}
