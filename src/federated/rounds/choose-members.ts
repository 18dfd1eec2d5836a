/** When a round begins, and with whom; until then, whom it waits for and why. */
import { timeInWords } from '../plan/train-plan.ts'
import type { Group, JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'

export interface ReadyMember {
  readonly peer: string
  readonly hello: {
    readonly bound?: readonly string[] | null | undefined
    readonly clusters?: readonly string[] | null | undefined
  }
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
  /** Whether it has said that it takes no part any more. */
  readonly hasLeft?: ((peer: string) => boolean) | undefined
}

export interface Missing {
  readonly peers: readonly string[]
  readonly why: string
}

/** Who is in a sum; or whom it waits for. */
export type Choice<G> = { readonly guests: readonly G[] } | Missing

/** Sums that a round is made of. */
export interface ChosenSum<G> {
  readonly group: Group
  readonly guests: readonly G[]
}

/** Of the first round, in terms of the others'. */
const FIRST_PATIENCE = 3

/**
 * A round of several sums begins with those that are ready, once no other can be: somebody in each of them is gone, and
 * they are enough for the plan.
 */
export function chooseSums<G extends ReadyMember>(question: Question<G>): readonly ChosenSum<G>[] | Missing {
  const { job, standing } = question
  const { state } = standing.current
  const [chosen, open]: [ChosenSum<G>[], Missing[]] = [[], []]
  const all = job.groups(state)
  const bound = boundClusters(question, all)
  for (const group of all) {
    if (bound?.includes(group.delegate!) === false) continue
    const choice = chooseMembers(question, group)
    if ('guests' in choice) chosen.push({ group, guests: choice.guests })
    else open.push(choice)
  }
  const least = job.leastGroups(state)
  const waitedFor = bound !== undefined ? open : open.filter(({ peers }) => mayCome(question, peers))
  if (chosen.length >= least && waitedFor.length === 0) return chosen
  const missing = waitedFor.length > 0 ? waitedFor : open
  const peers = missing.flatMap((each) => each.peers)
  if (least === 1) return { peers, why: missing[0]?.why ?? 'there is no sum' }
  return { peers, why: `${chosen.length} sums are ready, and ${least} are needed: ${missing[0]?.why ?? ''}` }
}

/**
 * The clusters, by their delegates, whose sum was signed: it is made of these very clusters again, as that of members is of the
 * same members. Undefined: of any, since fewer delegates than it takes can have signed another set.
 */
function boundClusters<G extends ReadyMember>(
  { job, standing, ready }: Question<G>,
  groups: readonly Group[],
): readonly string[] | undefined {
  // With noise of their own, two sums from one model tell no more than was paid for both.
  if (job.math.noise(standing.current.state) !== undefined) return undefined
  const delegates = groups.flatMap(({ delegate }) => delegate ?? [])
  const isSet = (peer: string, set: readonly string[]): boolean =>
    set.includes(peer) && set.every((one) => delegates.includes(one))
  const here = ready.filter(({ peer }) => delegates.includes(peer))
  const bound = here.filter(({ peer, hello }) => isSet(peer, hello.clusters ?? []))
  if (here.length - bound.length >= job.leastGroups(standing.current.state)) return undefined
  return bound[0]?.hello.clusters ?? undefined
}

/** Whether one of them may still come: it is there, or may be on its way. */
function mayCome<G extends ReadyMember>(question: Question<G>, peers: readonly string[]): boolean {
  const { job, waited, isHere, isPresent, admits } = question
  if (waited < patienceOf(question)) return true
  return waited < job.deadlineMs && peers.some((peer) => admits(peer) && (isHere(peer) || isPresent(peer)))
}

function chooseMembers<G extends ReadyMember>(question: Question<G>, group: Group): Choice<G> {
  const { job, standing } = question
  const ready = question.ready.filter(({ peer }) => group.members.some((member) => member.peer === peer))
  if (job.math.noise(standing.current.state) !== undefined) return chooseAmong(question, group, ready)
  const free = ready.filter((guest) => boundOf(guest, group) === undefined)
  const bound = ready.map((guest) => boundOf(guest, group)).find((peers) => peers !== undefined)
  // Fewer than t can have signed the other set then, so that its sum was never made, whatever they say.
  if (bound === undefined || free.length >= group.least) return chooseAmong(question, group, free)
  const missing = bound.filter((peer) => !ready.some((guest) => guest.peer === peer))
  if (missing.length > 0) {
    const gone = missing.some((peer) => !question.admits(peer))
      ? ' (one is no member any more: create another job)'
      : ''
    return {
      peers: missing,
      why: `their sum was signed and its result is not known: without noise no other may be made from this model${gone}; a site that has waited ${timeInWords(job.patienceMs)} ends the job`,
    }
  }
  return { guests: ready.filter(({ peer }) => bound.includes(peer)) }
}

/** The set that a member says it has signed, where it is one that it can have signed. */
function boundOf({ peer, hello }: ReadyMember, { members }: Group): readonly string[] | undefined {
  const { bound = null } = hello
  const isOf = (one: string): boolean => members.some((member) => member.peer === one)
  return bound?.includes(peer) === true && bound.every(isOf) ? bound : undefined
}

/** Of those who are ready, in one sum. */
export function chooseAmong<G extends ReadyMember>(
  question: Question<G>,
  group: Group,
  ready: readonly G[],
): Choice<G> {
  const { job, waited, isHere, isPresent, admits } = question
  const { delegate } = group
  if (delegate !== undefined && !ready.some(({ peer }) => peer === delegate)) {
    return { peers: [delegate], why: `${group.name} has no sum without its delegate of this round` }
  }
  const absent = group.members.flatMap(({ peer }) =>
    admits(peer) && !ready.some((guest) => guest.peer === peer) ? [peer] : [],
  )
  if (ready.length < group.least) {
    return { peers: absent, why: `${ready.length} of at least ${group.least} members are here` }
  }
  const cohort = job.cohort(question.standing.current.state)
  if (absent.every((peer) => question.hasLeft?.(peer) === true) || (cohort !== undefined && ready.length >= cohort))
    return { guests: ready }
  const slow = absent.filter((peer) => isHere(peer) || isPresent(peer))
  if (slow.length > 0 && waited < job.deadlineMs) {
    return { peers: slow, why: 'they are connected and have not finished yet' }
  }
  if (waited < patienceOf(question)) return { peers: absent, why: 'they are not connected' }
  return { guests: ready }
}

/** What the columns are like is asked once, and holds for all rounds: who is missing then is waited for longer. */
function patienceOf({ standing, times }: Pick<Question<ReadyMember>, 'standing' | 'times'>): number {
  return standing.current.state.pooled === null ? FIRST_PATIENCE * times.graceMs : times.graceMs
}
