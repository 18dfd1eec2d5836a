/** The sums of a round, whoever its aggregator is: each of members of its own, all told together. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { ChosenSum } from './choose-members.ts'
import { collectPlain } from './collect-plain.ts'
import { Collector, collectSum } from './collector.ts'
import type { Collected, CollectorNeeds, Dropped, Joined } from './collector.ts'
import type { Complaints } from './complaints.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import { holdersOf } from '../secagg/graph.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import { keeperOf, sumsKeeperOf } from './keep-round.ts'
import type { Group } from './job-view.ts'
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
): Promise<readonly Guest[]> {
  const { job, admits } = needs
  const all = sums.flatMap(({ guests }) => guests)
  if (!job.isSecure) {
    await collectPlain(job, session, all, admits)
    return all
  }
  const [first] = sums
  if (first?.group.name === '') {
    const keep = keeperOf(needs, headerOf(needs, session, first.group), first.guests.length)
    const { collected } = await makeOne(needs, complaints, session, first, keep)
    await collected.tell({ members: collected.members }, collected.sum)
    return all
  }
  return first === undefined ? all : makeSeveral(needs, complaints, session, sums)
}

/** Sums of buckets; or of clusters, and one of these. @param sums at least one */
async function makeSeveral(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  sums: readonly ChosenSum<Guest>[],
): Promise<readonly Guest[]> {
  const [{ group: some }] = sums as [ChosenSum<Guest>]
  const count = sums.reduce((all, { guests }) => all + guests.length, 0)
  const keeper = sumsKeeperOf(needs, headerOf(needs, session, some), count)
  const upper = some.delegate === undefined ? undefined : upperSum(needs, complaints, session, sums, keeper?.upper)
  const sharing = upper === undefined ? undefined : await orRefuse(sums, () => upper.share())
  const isShared = ({ group }: ChosenSum<Guest>): boolean => sharing?.includes(group.delegate!) ?? true
  await refuseAll(
    sums.filter((sum) => !isShared(sum)),
    new RoundAbortedError(session, 'clusters', 'their delegate is gone'),
  )
  const made = await eachMade(needs, session, sums.filter(isShared), async (sum) => {
    const each = await makeOne(needs, complaints, session, sum, keeper?.part(sum.group.index))
    upper?.include(sum.group.delegate!, each.collected)
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
  const opened = made.map(({ group }) => group.index)
  await keeper?.save(opened, sum)
  await Promise.all(made.map(({ collected }) => collected.tell(body, sum)))
  return made.flatMap(({ guests }) => guests)
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

/** Who is lost in a sum is written down; what it says of another's keys or shares is counted. */
function droppedIn(
  { standing, log }: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  { name, members, graph, t }: Pick<Group, 'name' | 'members' | 'graph' | 't'>,
): (facts: Dropped) => void {
  return ({ about, ...lost }) => {
    const of = name === '' ? {} : { of: name }
    log('member.lost', { session, ...lost, ...of, ...(about === undefined ? {} : { about }) })
    if (about !== undefined)
      complaints.add(standing.current.hash, { about, by: lost.peer, most: holdersOf(graph, members.length) - t })
  }
}

/** The sum of clusters, of which nothing but masks and shares are seen. */
function upperSum(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  sums: readonly ChosenSum<Guest>[],
  keep: CollectorNeeds['keep'],
): Collector {
  const { clock, job, standing, times, log, filter } = needs
  const { state, hash } = standing.current
  const upper = job.upper(state)
  const delegates = sums.flatMap(({ group, guests }) =>
    guests.flatMap(({ peer, pipe, joined }): Joined[] =>
      peer === group.delegate && joined?.upper !== undefined ? [{ peer, pipe, entry: joined.upper }] : [],
    ),
  )
  const stage = (name: string): void => log('stage', { session, stage: name, of: upper.name })
  const dropped = droppedIn(needs, complaints, session, upper)
  const { graph, quorum } = upper
  const members = upper.members.map(({ key }) => key)
  const init = { header: job.header(session, state, hash, upper), members, graph, quorum }
  return new Collector({ clock, stageMs: times.stageMs, stage, filter, dropped, keep }, init, delegates)
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

async function makeOne(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  { group, guests }: ChosenSum<Guest>,
  keep: CollectorNeeds['keep'],
): Promise<Made> {
  const { clock, job, standing, times, log, filter } = needs
  const { state, hash } = standing.current
  const init = {
    header: job.header(session, state, hash, group),
    members: group.members.map(({ key }) => key),
    noise: job.noiseSd(state),
    graph: group.graph,
    quorum: group.quorum,
  }
  const which = group.name === '' ? {} : { of: group.name }
  const stage = (name: string): void => log('stage', { session, stage: name, ...which })
  // A place in the sum of clusters is the delegate's: of others it would be taken for what the delegate says.
  const all = guests.flatMap(({ peer, joined }) =>
    joined === undefined ? [] : [peer === group.delegate ? joined : { ...joined, upper: undefined }],
  )
  const dropped = droppedIn(needs, complaints, session, group)
  const collected = await collectSum({ clock, stageMs: times.stageMs, stage, filter, dropped, keep }, init, all)
  return { group, collected, guests }
}
