/** A sum that another aggregator began, opened by this one: the same signatures and shares are asked for again. */
import type { AggregatorInit } from '../secagg/aggregator.ts'
import type { Advertisement } from '../secagg/layout.ts'
import { Collector } from './collector.ts'
import type { Collected, CollectorNeeds, Place } from './collector-types.ts'
import type { Guest } from './coordinator-types.ts'
import { readHeld } from './hand-over.ts'
import type { HeldSum } from './hand-over.ts'
import type { Group } from './job-view.ts'
import type { Resumable } from './resumption.ts'
import { sendRefusal } from './wire.ts'

export interface SumToResume {
  readonly group: Group
  readonly resumed: Resumable
  /** @param round number under which the sum was begun */
  readonly init: (round: number) => AggregatorInit
}

/**
 * All its members are told, and whoever has it sends it. @param session number of this round
 * @throws JobRefusedError, VectorLengthError, RefusedByPeer, why the pipe ended; whoever is there is told to come again
 */
export async function askForSum(
  { stageMs }: Pick<CollectorNeeds, 'stageMs'>,
  { resumed, init }: SumToResume,
  session: number,
): Promise<HeldSum> {
  const { sid, guests, holder } = resumed
  const ask = (guest: Guest): Promise<void> => guest.pipe.send('resume', { session, sid, give: guest === holder })
  try {
    // Of the others whoever is gone is missed when the signatures are there.
    await Promise.all(guests.map((guest) => ask(guest).catch(() => undefined)))
    return await readHeld(holder.pipe, init(session).header, stageMs)
  } catch (error) {
    await refuse(resumed, error)
    throw error
  }
}

/** @throws as `collectSum`; whoever is there is told to come again */
export async function openSum(
  needs: CollectorNeeds,
  held: HeldSum,
  { group, resumed, init }: SumToResume,
): Promise<Collected> {
  const collector = new Collector(
    { ...needs, keep: undefined },
    init(held.round),
    placesOf(held.roster, group, resumed.guests),
  )
  try {
    return await collector.resume(held, resumed.sid)
  } catch (error) {
    collector.name(error)
    await refuse(resumed, error)
    throw error
  }
}

/** A roster of members some of whom are here: the others have no pipe. */
export function placesOf(
  roster: readonly Advertisement[],
  { members }: Pick<Group, 'members'>,
  guests: readonly Pick<Guest, 'peer' | 'pipe'>[],
): readonly Place[] {
  const peers = new Map(members.map(({ key, peer }) => [Buffer.from(key).toString('hex'), peer]))
  return roster.map((entry) => {
    const peer = peers.get(Buffer.from(entry.identity).toString('hex')) ?? ''
    return { peer, entry, pipe: guests.find((guest) => guest.peer === peer)?.pipe }
  })
}

async function refuse({ guests }: Resumable, error: unknown): Promise<void> {
  await Promise.all(guests.map(({ pipe }) => sendRefusal(pipe, error, true)))
}
