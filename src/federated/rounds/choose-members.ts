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
  readonly admits: (peer: string) => boolean
}

export type Choice<G> = { readonly guests: readonly G[] } | { readonly peers: readonly string[]; readonly why: string }

/** Of the first round, in terms of the others'. */
const FIRST_PATIENCE = 3

export function chooseMembers<G extends ReadyMember>(question: Question<G>): Choice<G> {
  const { job, standing } = question
  if (job.math.noise(standing.current.state) !== undefined) return chooseAmong(question, question.ready)
  const free = question.ready.filter((guest) => boundOf(guest, job) === undefined)
  const bound = question.ready.map((guest) => boundOf(guest, job)).find((peers) => peers !== undefined)
  // Fewer than t can have signed the other set then, so that its sum was never made, whatever they say.
  if (bound === undefined || free.length >= job.least) return chooseAmong(question, free)
  const missing = bound.filter((peer) => !question.ready.some((guest) => guest.peer === peer))
  if (missing.length > 0) {
    const gone = missing.some((peer) => !question.admits(peer))
      ? ' (one is no member any more: create another job)'
      : ''
    return {
      peers: missing,
      why: `their sum was signed and its result is not known: without noise no other may be made from this model${gone}`,
    }
  }
  return { guests: question.ready.filter(({ peer }) => bound.includes(peer)) }
}

/** The set that a member says it has signed, where it is one that it can have signed. */
function boundOf({ peer, hello }: ReadyMember, job: JobView): readonly string[] | undefined {
  const { bound = null } = hello
  return bound?.includes(peer) === true && bound.every((one) => job.peers.includes(one)) ? bound : undefined
}

function chooseAmong<G extends ReadyMember>(question: Question<G>, ready: readonly G[]): Choice<G> {
  const { job, standing, waited, times, isHere, isPresent, admits } = question
  const absent = job.peers.filter((peer) => admits(peer) && !ready.some((guest) => guest.peer === peer))
  if (ready.length < job.least) {
    return { peers: absent, why: `${ready.length} of at least ${job.least} members are here` }
  }
  if (absent.length === 0) return { guests: ready }
  const slow = absent.filter((peer) => isHere(peer) || isPresent(peer))
  if (slow.length > 0 && waited < job.deadlineMs) {
    return { peers: slow, why: 'they are connected and have not finished yet' }
  }
  // What the columns are like is asked once, and holds for all rounds: who is missing then is waited for longer.
  const patience = standing.current.state.pooled === null ? FIRST_PATIENCE * times.graceMs : times.graceMs
  if (waited < patience) return { peers: absent, why: 'they are not connected' }
  return { guests: ready }
}
