/** The sums of a round, whoever its aggregator is: each of members of its own, all told together. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { ChosenSum } from './choose-members.ts'
import { collectPlain } from './collect-plain.ts'
import { collectSum } from './collector.ts'
import type { Collector } from './collector.ts'
import type { Collected, CollectorNeeds } from './collector-types.ts'
import type { Complaints } from './complaints.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { keeperOf, sumsKeeperOf } from './keep-round.ts'
import type { HeldSum } from './hand-over.ts'
import { delegatesOf, heldSums, sharedIn } from './held-sums.ts'
import { askForSum, openSum } from './resume-sum.ts'
import { droppedIn, initOf } from './sum-init.ts'
import { upperSum } from './upper-sum.ts'
import type { Resumable } from './resumption.ts'
import type { Group } from './job-view.ts'
import { Together } from './together.ts'
import { factsOf, sendRefusal } from './wire.ts'

interface Made {
  readonly group: Group
  readonly collected: Collected
  readonly guests: readonly Guest[]
}

/**
 * @returns those who were told what came of it
 * @throws RoundAbortedError and what one sum throws: nobody was told anything
 */
export async function makeSums(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  sums: readonly ChosenSum<Guest>[],
  failed: (sum: Resumable) => void,
): Promise<readonly Guest[]> {
  const { job, admits } = needs
  const all = sums.flatMap(({ guests }) => guests)
  if (!job.isSecure) {
    await collectPlain(job, session, all, admits)
    return all
  }
  const [first] = sums
  if (first?.group.name === '') {
    const keep = keeperOf(needs, headerOf(needs, session, first.group), sums)
    const { collected } = await makeOne(needs, complaints, session, first, { keep }).catch((error: unknown) => {
      if (first.resumed !== undefined) failed(first.resumed)
      throw error
    })
    await collected.tell({ members: collected.members }, collected.sum)
    return all
  }
  return first === undefined ? all : makeSeveral(needs, complaints, session, sums, failed)
}

/** Sums of buckets; or of clusters, and one of these. @param sums at least one */
async function makeSeveral(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  chosen: readonly ChosenSum<Guest>[],
  failed: (sum: Resumable) => void,
): Promise<readonly Guest[]> {
  const opened = new Set<number>()
  try {
    return await severalMade(needs, complaints, session, chosen, opened)
  } finally {
    // Of what was not opened something else may have to be made.
    for (const { group, resumed } of chosen) if (resumed !== undefined && !opened.has(group.index)) failed(resumed)
  }
}

async function severalMade(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  chosen: readonly ChosenSum<Guest>[],
  opened: Set<number>,
): Promise<readonly Guest[]> {
  const [{ group: some }] = chosen as [ChosenSum<Guest>]
  const keeper = sumsKeeperOf(needs, headerOf(needs, session, some), chosen)
  const held = await heldSums(needs, session, chosen)
  const sums = chosen.filter(({ group, resumed }) => resumed === undefined || held.has(group.index))
  if (sums.length === 0) throw new RoundAbortedError(session, 'sums', 'none that was signed can be opened')
  const isClustered = some.delegate !== undefined
  const upper = isClustered ? upperSum(needs, complaints, session, sums, { held, keep: keeper?.upper }) : undefined
  const sharing = upper === undefined ? undefined : await orRefuse(sums, () => sharedIn(upper, held))
  const delegates = delegatesOf(needs, held)
  const delegateOf = ({ index }: Group): string => delegates[index]!
  const isShared = ({ group }: ChosenSum<Guest>): boolean => sharing?.includes(delegateOf(group)) ?? true
  await refuseAll(
    sums.filter((sum) => !isShared(sum)),
    new RoundAbortedError(session, 'clusters', 'their delegate is gone'),
  )
  const shared = sums.filter(isShared)
  // From the first share on the sum of clusters can be opened by others: it is of all of them then.
  const together = isClustered ? new Together(session, shared.length, leastOf(needs)) : undefined
  const made = await eachMade(needs, session, shared, async (sum) => {
    const { index } = sum.group
    const one = { keep: keeper?.part(index), held: held.get(index), upper, together }
    const each = await makeOne(needs, complaints, session, sum, one)
    upper?.include(delegateOf(sum.group), each.collected)
    return each
  })
  const members = made.flatMap(({ collected }) => collected.members)
  const body = {
    members,
    groups: made.map(({ group, collected: { members: own } }) => ({ index: group.index, members: own })),
  }
  const sum =
    upper === undefined
      ? Buffer.concat(made.map(({ collected }) => collected.sum))
      : (await orRefuse(made, () => upper.unmask())).sum
  for (const { group } of made) opened.add(group.index)
  await keeper?.save([...opened], sum)
  await Promise.all(made.map(({ collected }) => collected.tell(body, sum)))
  return made.flatMap(({ guests }) => guests)
}

function leastOf({ job, standing }: CoordinatorNeeds): number {
  return job.leastGroups(standing.current.state)
}

function headerOf({ job, standing }: CoordinatorNeeds, session: number, group: Group): RoundHeader {
  const { state, hash } = standing.current
  return job.header(session, state, hash, group)
}

/** Those that came out. @throws RoundAbortedError: they are too few */
async function eachMade(
  { job, standing, log }: CoordinatorNeeds,
  session: number,
  sums: readonly ChosenSum<Guest>[],
  one: (sum: ChosenSum<Guest>) => Promise<Made>,
): Promise<readonly Made[]> {
  const ended = await Promise.allSettled(sums.map(one))
  const made: Made[] = []
  for (const [at, result] of ended.entries()) {
    if (result.status === 'fulfilled') made.push(result.value)
    else {
      log('sum.closed', { session, of: sums[at]!.group.name, ...factsOf(result.reason) })
    }
  }
  const members = made.flatMap(({ collected }) => collected.members).length
  const least = job.leastGroups(standing.current.state)
  if (made.length >= least && members >= job.leastInRound) return made
  const why = `${made.length} sums with ${members} members are there, and ${least} with ${job.leastInRound} are needed`
  const error = new RoundAbortedError(session, 'sums', why)
  await refuseAll(made, error)
  throw error
}

function refuseAll(sums: readonly { readonly guests: readonly Guest[] }[], error: Error): Promise<unknown> {
  return Promise.all(sums.flatMap(({ guests }) => guests.map(({ pipe }) => sendRefusal(pipe, error, true))))
}

/** @throws what the action throws, such as ThresholdError: too few delegates are left; then all are told to come again */
async function orRefuse<Result>(
  sums: readonly { readonly guests: readonly Guest[] }[],
  action: () => Promise<Result>,
): Promise<Result> {
  try {
    return await action()
  } catch (error) {
    await refuseAll(sums, error as Error)
    throw error
  }
}

interface OneNeeds extends Pick<CollectorNeeds, 'keep'> {
  /** Where another aggregator began it. */
  readonly held?: HeldSum | undefined
  /** The sum of clusters that it is a part of. */
  readonly upper?: Collector | undefined
  readonly together?: Together | undefined
}

async function makeOne(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  sum: ChosenSum<Guest>,
  one: OneNeeds,
): Promise<Made> {
  const { clock, times, log, filter } = needs
  const { group, guests } = sum
  const which = group.name === '' ? {} : { of: group.name }
  let isSigned = false
  const collector: CollectorNeeds = {
    clock,
    stageMs: times.stageMs,
    stage: (name) => log('stage', { session, stage: name, ...which }),
    filter,
    dropped: droppedIn(needs, complaints, session, group),
    keep: one.keep,
    successors: successorsOf(needs, sum),
    upper: () => one.upper?.shared,
    together: () => {
      isSigned = true
      return one.together?.arrive()
    },
  }
  try {
    const collected = await collect(needs, session, sum, { ...one, collector })
    return { group, collected, guests }
  } catch (error) {
    if (!isSigned) one.together?.leave()
    throw error
  }
}

async function collect(
  needs: CoordinatorNeeds,
  session: number,
  { group, guests, resumed }: ChosenSum<Guest>,
  { collector, held }: OneNeeds & { readonly collector: CollectorNeeds },
): Promise<Collected> {
  const init = initOf(needs, group)
  if (resumed === undefined) {
    // A place in the sum of clusters is the delegate's: of others it would be taken for what the delegate says.
    const all = guests.flatMap(({ peer, joined }) =>
      joined === undefined ? [] : [peer === group.delegate ? joined : { ...joined, upper: undefined }],
    )
    return collectSum(collector, init(session), all)
  }
  const which = group.name === '' ? {} : { of: group.name }
  needs.log('sum.resumed', { session, ...which, members: guests.map(({ peer }) => peer) })
  const sum = { group, resumed, init }
  return openSum(collector, held ?? (await askForSum(needs.times, sum, session)), sum)
}

/**
 * Who may be given the sum, masks and all: those who know what to do with it, in the order in which they aggregate when this one is gone.
 * Of a sum that another one began nobody, unless this very peer alone has it.
 */
function successorsOf(
  { job, standing, self }: CoordinatorNeeds,
  { guests, resumed }: ChosenSum<Guest>,
): readonly string[] {
  if (resumed !== undefined && resumed.holder.peer !== self.id) return []
  const able = guests.flatMap(({ peer, hello }) => (hello.signed !== undefined && peer !== self.id ? [peer] : []))
  return job.aggregators(standing.base).filter((peer) => able.includes(peer))
}
