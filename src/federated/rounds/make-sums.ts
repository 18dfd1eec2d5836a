/** The sums of a round, whoever its aggregator is: each of members of its own, all told together. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { ChosenSum } from './choose-members.ts'
import { collectPlain } from './collect-plain.ts'
import { collectSum } from './collector.ts'
import type { Collected, Dropped } from './collector.ts'
import type { Complaints } from './complaints.ts'
import type { CoordinatorNeeds, Guest } from './coordinator-types.ts'
import { keeperOf } from './keep-round.ts'
import type { Group } from './job-view.ts'
import { sendRefusal } from './wire.ts'

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
  const { job, standing, admits, log } = needs
  const all = sums.flatMap(({ guests }) => guests)
  if (!job.isSecure) {
    await collectPlain(job, session, all, admits)
    return all
  }
  const ended = await Promise.allSettled(sums.map((sum) => makeOne(needs, complaints, session, sum)))
  const made = ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const lost = ended.flatMap((one, at) => (one.status === 'rejected' ? [{ at, error: one.reason as Error }] : []))
  const [first] = sums
  const least = job.leastGroups(standing.current.state)
  if (first?.group.count === 1) {
    if (lost[0] !== undefined) throw lost[0].error
    for (const { collected } of made) await collected.tell({ members: collected.members }, collected.sum)
    return all
  }
  for (const { at, error } of lost) {
    log('bucket.closed', { session, bucket: sums[at]!.group.index, why: error.message, ...codeOf(error) })
  }
  const members = made.flatMap(({ collected }) => collected.members)
  if (made.length < least || members.length < job.leastInRound) {
    const why = `${made.length} buckets with ${members.length} members are there, and ${least} with ${job.leastInRound} are needed`
    const error = new RoundAbortedError(session, 'buckets', why)
    await Promise.all(made.flatMap(({ guests }) => guests.map(({ pipe }) => sendRefusal(pipe, error, true))))
    throw error
  }
  const buckets = made.map(({ group, collected }) => ({ index: group.index, members: [...collected.members] }))
  const payload = Buffer.concat(made.map(({ collected }) => collected.sum))
  await Promise.all(made.map(({ collected }) => collected.tell({ members, buckets }, payload)))
  return made.flatMap(({ guests }) => guests)
}

async function makeOne(
  needs: CoordinatorNeeds,
  complaints: Complaints,
  session: number,
  { group, guests }: ChosenSum<Guest>,
): Promise<Made> {
  const { clock, job, standing, times, log, filter } = needs
  const { state, hash } = standing.current
  const init = {
    header: job.header(session, state, hash, group),
    members: group.members.map(({ key }) => key),
    noise: job.noiseSd(state),
  }
  const which = group.count === 1 ? {} : { bucket: group.index }
  const stage = (name: string): void => log('stage', { session, stage: name, ...which })
  const all = guests.flatMap(({ joined }) => (joined === undefined ? [] : [joined]))
  const dropped = (facts: Dropped): void => {
    const { about, ...lost } = facts
    log('member.lost', { session, ...lost, ...which, ...(about === undefined ? {} : { about }) })
    if (about !== undefined) complaints.add(hash, { about, by: facts.peer, most: group.members.length - group.t })
  }
  const keep = keeperOf(needs, init.header, all.length)
  const collected = await collectSum({ clock, stageMs: times.stageMs, stage, filter, dropped, keep }, init, all)
  return { group, collected, guests }
}

function codeOf(error: Error): { readonly code?: string } {
  const { code } = error as { readonly code?: string }
  return code === undefined ? {} : { code }
}
