/**
 * What a member of a gossip does for the others of its groups: whoever comes to it waits here for the rest, and is brought through the sum of
 * the group. Groups of different rounds may wait side by side: nobody waits for who is in another group.
 */
import type { CancelTimer } from '../../util/index.ts'
import { GossipGroupError, JobRefusedError, RoundAbortedError } from '../plan/errors.ts'
import { equalBytes as equal } from '../secagg/bytes.ts'
import { certify } from './certify.ts'
import { chooseAmong } from './choose-members.ts'
import { collectSum } from './collector.ts'
import type { Joined } from './collector.ts'
import type { CoordinatorNeeds, Waiting } from './coordinator-types.ts'
import type { Group } from './job-view.ts'
import { onlyWhile } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import { bodyOf, expectOf, factsOf, isLoss, sendRefusal } from './wire.ts'
import type { Body } from './wire.ts'

interface Guest {
  readonly peer: string
  readonly pipe: Pipe
  readonly step: number
  readonly hello: Body<'hello'>
  joined?: Joined
}

export class GossipHost {
  readonly #needs: CoordinatorNeeds
  readonly #ownStep: () => number
  /** By member: each is in one group at a time. */
  readonly #guests = new Map<string, Guest>()
  readonly #since = new Map<number, number>()
  /** When as many were ready as a sum takes. */
  readonly #enough = new Map<number, number>()
  readonly #running = new Set<number>()
  #waiting: Waiting | undefined
  #beatAt = 0
  #isStopped = false
  #cancel: CancelTimer = () => undefined

  /** @param ownStep rounds that are behind this member itself */
  constructor(needs: CoordinatorNeeds, ownStep: () => number) {
    this.#needs = needs
    this.#ownStep = ownStep
    this.#tick()
  }

  get waiting(): Waiting | undefined {
    return this.#waiting
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
    for (const { pipe } of this.#guests.values()) pipe.close()
    this.#guests.clear()
  }

  /** A member has come, with its model trained. */
  async accept(channel: Pipe, hello: Body<'hello'>): Promise<void> {
    const { job, admits, standing, self, clock } = this.#needs
    const pipe = onlyWhile(channel, () => {
      if (!admits(channel.remote)) throw new JobRefusedError(job.id, `${channel.remote} is no member any more`)
    })
    const refuse = (why: string): Promise<void> => sendRefusal(channel, new JobRefusedError(job.id, why), false)
    const { step = 0 } = hello.gossip ?? {}
    const { rounds = 0 } = job.gossip ?? {}
    if (!job.peers.includes(pipe.remote) || !admits(pipe.remote)) return refuse(`${pipe.remote} is no member of it`)
    if (!equal(hello.plan, job.planHash)) return refuse('this is another plan')
    if (step >= rounds) return refuse('it has no such round')
    if (this.#ownStep() > step || this.#running.has(step)) {
      await pipe.send('ahead')
      return undefined
    }
    if (hello.gossip?.asks === true) return pipe.send('here')
    const isReady = standing.isCertified && equal(hello.state, standing.current.hash)
    if (!isReady)
      return sendRefusal(pipe, new RoundAbortedError(step, 'hello', 'the statistics are not here yet'), true)
    const { members } = job.gossipGroup(pipe.remote, step)
    if (!members.some(({ peer }) => peer === self.id)) return refuse('this peer is in another group')
    this.#guests.get(pipe.remote)?.pipe.close()
    const guest: Guest = { peer: pipe.remote, pipe, step, hello }
    this.#guests.set(pipe.remote, guest)
    if (!this.#since.has(step)) this.#since.set(step, clock.now())
    pipe.onEnd(() => this.#leave(guest))
    void this.#begin(guest)
    return undefined
  }

  #leave(guest: Guest): void {
    if (this.#guests.get(guest.peer) !== guest || this.#running.has(guest.step)) return
    this.#guests.delete(guest.peer)
    this.#look()
  }

  async #begin(guest: Guest): Promise<void> {
    const { job, standing, log } = this.#needs
    try {
      await guest.pipe.send('begin', { session: guest.step, state: standing.current.hash })
      const message = await expectOf(guest.pipe, ['advertise'], job.deadlineMs)
      guest.joined = { peer: guest.peer, pipe: guest.pipe, entry: bodyOf('advertise', message).entry }
    } catch (error) {
      if (this.#guests.get(guest.peer) === guest) this.#guests.delete(guest.peer)
      log('member.lost', { session: guest.step, ...factsOf(error), peer: guest.peer, stage: 'advertise' })
      await sendRefusal(guest.pipe, error, isLoss(error))
      guest.pipe.close()
    }
    this.#look()
  }

  #tick(): void {
    if (this.#isStopped) return
    const { clock, times } = this.#needs
    this.#cancel = clock.after(times.beatMs / 4, () => {
      this.#look()
      this.#beat()
      this.#tick()
    })
  }

  #beat(): void {
    const { clock, times } = this.#needs
    if (clock.now() - this.#beatAt < times.beatMs) return
    this.#beatAt = clock.now()
    const { why = 'others are on their way', peers = [] } = this.#waiting ?? {}
    for (const { pipe, step } of this.#guests.values())
      if (!this.#running.has(step)) void pipe.send('wait', { why, peers: [...peers] }).catch(() => undefined)
  }

  #look(): void {
    if (this.#isStopped) return
    const steps = new Set([...this.#guests.values()].map(({ step }) => step))
    for (const step of this.#since.keys()) if (!steps.has(step)) this.#forget(step)
    this.#waiting = undefined
    for (const step of steps) if (!this.#running.has(step)) this.#lookAt(step)
  }

  #lookAt(step: number): void {
    const { job, self, standing, times, admits, isPresent, hasLeft, clock } = this.#needs
    const group = job.gossipGroup(self.id, step)
    const here = [...this.#guests.values()].filter((guest) => guest.step === step)
    const ready = here.filter(({ joined }) => joined !== undefined)
    const since = this.#since.get(step) ?? clock.now()
    // Once there are enough, the rest is waited for as long as these took among themselves; it mixes in another round.
    if (ready.length < group.least) this.#enough.delete(step)
    else if (!this.#enough.has(step)) this.#enough.set(step, clock.now())
    const enough = this.#enough.get(step)
    const isLate = enough !== undefined && clock.now() - enough >= Math.max(times.graceMs, enough - since)
    const waited = isLate ? Number.POSITIVE_INFINITY : clock.now() - since
    // This peer's own member comes by itself, once it has trained.
    const mayCome = (peer: string): boolean => peer === self.id || isPresent(peer)
    const isHere = (peer: string): boolean => here.some((guest) => guest.peer === peer)
    const choice = chooseAmong(
      { job, standing, ready, waited, times, isHere, isPresent: mayCome, hasLeft, admits },
      group,
      ready,
    )
    if (!('why' in choice)) {
      void this.#sum(step, group, choice.guests)
      return
    }
    this.#waiting = { since, ...choice }
    const isOpen = choice.peers.some((peer) => isHere(peer) || mayCome(peer))
    if (waited < times.graceMs || (isOpen && waited < job.deadlineMs)) return
    const error = new GossipGroupError(group.name, ready.length, group.least)
    for (const guest of here) {
      this.#guests.delete(guest.peer)
      void sendRefusal(guest.pipe, error, false).then(() => guest.pipe.close())
    }
  }

  async #sum(step: number, group: Group, guests: readonly Guest[]): Promise<void> {
    const { clock, job, standing, times, log, filter, self } = this.#needs
    this.#running.add(step)
    const { state, hash } = standing.current
    const { graph, quorum, members } = group
    const header = job.header(step, state, hash, group)
    const init = { header, members: members.map(({ key }) => key), graph, quorum }
    const of = { session: step, of: group.name }
    try {
      log('round.began', { ...of, aggregator: self.id, members: guests.map(({ peer }) => peer) })
      const stage = (name: string): void => log('stage', { ...of, stage: name })
      const dropped = (facts: object): void => log('member.lost', { ...of, ...facts })
      const all = guests.flatMap(({ joined }) => joined ?? [])
      const collected = await collectSum({ clock, stageMs: times.stageMs, stage, filter, dropped }, init, all)
      await collected.tell({ members: collected.members }, collected.sum)
      const voters = members.map(({ peer }) => peer)
      await certify({ id: job.id, peers: voters, math: { t: quorum } }, step, guests, times.stageMs)
      log('round.ended', of)
    } catch (error) {
      log('round.aborted', { ...of, ...factsOf(error) })
    } finally {
      for (const guest of guests) {
        if (this.#guests.get(guest.peer) === guest) this.#guests.delete(guest.peer)
        clock.after(50, () => guest.pipe.close())
      }
      this.#running.delete(step)
      this.#forget(step)
    }
  }

  #forget(step: number): void {
    this.#since.delete(step)
    this.#enough.delete(step)
  }
}
