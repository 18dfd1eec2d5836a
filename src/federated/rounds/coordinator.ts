/**
 * What a member does for others: whoever comes to it, since its turn it is, is brought to one state and through one sum.
 * It is trusted for nothing but progress; members check all of it themselves.
 */
import type { CancelTimer } from '../../util/index.ts'
import { equalBytes as equal } from '../secagg/bytes.ts'
import { JobRefusedError, RoundAbortedError } from '../plan/errors.ts'
import { chooseSums } from './choose-members.ts'
import type { ChosenSum } from './choose-members.ts'
import type { CoordinatorNeeds, Guest, Waiting } from './coordinator-types.ts'
import { certify } from './certify.ts'
import { Complaints } from './complaints.ts'
import { makeSums } from './make-sums.ts'
import { onlyWhile } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import { decodeState, encodeState, stepsOf } from './state.ts'
import { readAnswer } from './read-answer.ts'
import { mayFollow, MOST_AHEAD, takeUp } from './take-up.ts'
import { VoteBook } from './vote-book.ts'
import { validVotes, voteOf } from './votes.ts'
import { bodyOf, expectOf, factsOf, isLoss, sendRefusal } from './wire.ts'
import type { Body, Vote } from './wire.ts'

export class Coordinator {
  readonly #needs: CoordinatorNeeds
  readonly #guests = new Map<string, Guest>()
  readonly #votes = new VoteBook()
  readonly #complaints = new Complaints()
  #since = 0
  #session: number | undefined
  #running = false
  #stopped = false
  #cancel: CancelTimer = () => undefined
  #waiting: Waiting | undefined

  constructor(needs: CoordinatorNeeds) {
    this.#needs = needs
    this.#tick()
  }

  /** Whom the round waits for here; undefined: nobody came, or a sum is being made. */
  get waiting(): Waiting | undefined {
    return this.#waiting
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
    for (const { pipe } of this.#guests.values()) pipe.close()
    this.#guests.clear()
  }

  /** A member has come: its first message is `hello`. */
  async accept(channel: Pipe, hello: Body<'hello'>): Promise<void> {
    const { job, admits, standing } = this.#needs
    // Who is thrown out of the membership is out of the round at once.
    const pipe = onlyWhile(channel, () => {
      if (!admits(channel.remote)) throw new JobRefusedError(job.id, `${channel.remote} is no member any more`)
    })
    const refuse = (why: string): Promise<void> => sendRefusal(channel, new JobRefusedError(job.id, why), false)
    if (!job.peers.includes(pipe.remote) || !admits(pipe.remote)) return refuse(`${pipe.remote} is no member of it`)
    if (!equal(hello.plan, job.planHash)) return refuse('this is another plan')
    const vote = { peer: pipe.remote, signature: hello.vote }
    if (validVotes(job.id, hello.state, [vote], job.peers).length === 0) return refuse('the vote is not signed')
    if (hello.next > standing.next + MOST_AHEAD) return refuse('its rounds have numbers of their own')
    if (this.#complaints.isLeftOut(hello.state, pipe.remote)) return refuse('others could not open its shares')
    this.#votes.add(hello.state, hello.done, vote)
    if (this.#running) return sendRefusal(pipe, new RoundAbortedError(hello.next, 'hello', 'a sum is being made'), true)
    this.#guests.get(pipe.remote)?.pipe.close()
    const guest: Guest = { peer: pipe.remote, pipe, hello, stage: 'waits' }
    this.#guests.set(pipe.remote, guest)
    pipe.onEnd(() => {
      if (this.#guests.get(guest.peer) !== guest || this.#running) return
      this.#guests.delete(guest.peer)
      this.#look()
    })
    this.#look()
    return undefined
  }

  #tick(): void {
    if (this.#stopped) return
    this.#cancel = this.#needs.clock.after(this.#needs.times.beatMs / 4, () => {
      this.#look()
      this.#beat()
      this.#tick()
    })
  }

  #beatAt = 0

  /** Who waits hears so: an aggregator that says nothing is taken for frozen. */
  #beat(): void {
    const { clock, times } = this.#needs
    if (clock.now() - this.#beatAt < times.beatMs) return
    this.#beatAt = clock.now()
    const { why = 'others are on their way', peers = [] } = this.#waiting ?? {}
    for (const { pipe } of this.#guests.values())
      void pipe.send('wait', { why, peers: [...peers] }).catch(() => undefined)
  }

  /** Brings each guest to the state of this member, or this member to theirs; then begins; then sums. */
  #look(): void {
    if (this.#running || this.#stopped) return
    const { standing, job, clock } = this.#needs
    if (this.#guests.size > 0 && this.#since === 0) this.#since = clock.now()
    if (this.#guests.size === 0) {
      this.#since = 0
      this.#session = undefined
      this.#waiting = undefined
      return
    }
    this.#settle()
    for (const guest of this.#guests.values()) {
      if (guest.stage === 'waits') this.#route(guest)
      else if (guest.stage === 'ready' && !equal(guest.hello.state, standing.current.hash))
        this.#again(guest, standing.next, 'the model is another now')
    }
    if (!standing.isCertified) this.#waitForVotes()
    else if (!job.isOver(standing.current.state)) this.#beginOrSum()
  }

  /** Others may know that the state stands, and wait elsewhere: nobody is kept here for long. */
  #waitForVotes(): void {
    const { standing, job } = this.#needs
    const voted = this.#votes.for(standing.current.hash).map(({ peer }) => peer)
    const why = 'too few members are known to stand for the last model'
    this.#waiting = { since: this.#since, peers: job.peers.filter((peer) => !voted.includes(peer)), why }
    if (!this.#isWaitedOut) return
    const error = new RoundAbortedError(standing.next, 'votes', why)
    for (const { pipe } of this.#guests.values()) void sendRefusal(pipe, error, false)
    this.#guests.clear()
  }

  /** Whoever is there at all has come by now. */
  get #isWaitedOut(): boolean {
    return this.#needs.clock.now() - this.#since >= this.#needs.times.graceMs
  }

  /** A state that this member alone knows is certified by enough votes, or given up when too many stand before it. */
  #settle(): void {
    const { standing, job, self } = this.#needs
    if (standing.isCertified) return
    const { hash, state } = standing.current
    if (job.peers.includes(self.id)) this.#votes.add(hash, stepsOf(state), voteOf(job.id, self, hash))
    const votes = this.#votes.for(hash)
    if (votes.length >= job.math.t) void this.#settled(standing.certify(hash, votes))
    // Without those that are behind it can never have t, and they do not follow so few.
    else if (this.#votes.isFollowed(hash, job) || !this.#isWaitedOut) return
    else if (this.#votes.behind(stepsOf(state)) > job.members.length - job.math.t) void this.#settled(standing.back())
  }

  /** What cannot be written here is for this site's person: the others go on, and so does this member while it lives. */
  async #settled(change: Promise<void>): Promise<void> {
    try {
      await change
      this.#look()
    } catch (error) {
      this.#needs.log('state.unsaved', { why: (error as Error).message, code: (error as { code?: string }).code })
    }
  }

  #route(guest: Guest): void {
    const { standing, job } = this.#needs
    const { state, hash, votes } = standing.current
    const done = stepsOf(state)
    const { hello } = guest
    // Who does not know that others stand for its state counts from the one before, and waits at another aggregator.
    const isUnaware = hello.certified === false || job.isOver(state)
    if (equal(hello.state, hash)) {
      if (votes !== undefined && isUnaware) this.#push(guest, votes)
    } else if (hello.done > done) this.#meet(guest)
    else if (votes !== undefined) this.#push(guest, votes)
    else if (this.#votes.isFollowed(hash, job) && hello.done + 1 === done)
      this.#push(guest, this.#votes.toFollow(hash, job))
  }

  /** One that is further: this member takes up what it has, or tells it that it is alone with it. */
  #meet(guest: Guest): void {
    const { standing, job } = this.#needs
    const { state, hash } = standing.current
    const theirs = guest.hello.state
    const others = [...this.#guests.values()].filter((other) => equal(other.hello.state, hash)).length
    const isAlone = !this.#votes.isFollowed(theirs, job) && standing.isCertified && others >= job.math.t - 1
    if (isAlone && this.#isWaitedOut) this.#send(guest, 'back', { done: stepsOf(state) })
    // Asked again only when more stand for its state than before.
    else if (this.#votes.heldBy(theirs).length > (guest.asked ?? 0)) void this.#pull(guest)
  }

  #push(guest: Guest, votes: readonly Vote[]): void {
    const { standing } = this.#needs
    this.#send(guest, 'push', { next: standing.next, votes: [...votes] }, encodeState(standing.current.state))
  }

  #send(guest: Guest, kind: string, body: object, payload?: Uint8Array): void {
    this.#guests.delete(guest.peer)
    void guest.pipe
      .send(kind, body, payload)
      .catch(() => undefined)
      .then(() => guest.pipe.close())
  }

  #again({ peer, pipe }: Guest, session: number, why: string): void {
    this.#guests.delete(peer)
    void sendRefusal(pipe, new RoundAbortedError(session, 'begin', why), true)
  }

  async #pull(guest: Guest): Promise<void> {
    guest.stage = 'begun'
    guest.asked = this.#votes.heldBy(guest.hello.state).length
    const { standing, job, times } = this.#needs
    try {
      await guest.pipe.send('pull')
      const message = await expectOf(guest.pipe, ['push'], times.stageMs)
      const { next, votes } = bodyOf('push', message)
      const valid = validVotes(job.id, guest.hello.state, [...votes, ...this.#votes.for(guest.hello.state)], job.peers)
      const state = decodeState(message.payload)
      const enough = valid.length >= job.math.t ? valid : this.#votes.toFollow(guest.hello.state, job)
      if (enough === valid || mayFollow(standing, job, state, enough)) {
        await takeUp(standing, job, state, guest.hello.state, enough, next)
      } else this.#complaints.doubt(standing.current.hash, guest.peer)
      guest.stage = 'waits'
    } catch {
      this.#guests.delete(guest.peer)
      guest.pipe.close()
    }
    this.#look()
  }

  #beginOrSum(): void {
    const { standing, clock, isPresent } = this.#needs
    const here = [...this.#guests.values()].filter(({ hello }) => equal(hello.state, standing.current.hash))
    const next = Math.max(standing.next, ...here.map(({ hello }) => hello.next))
    if (this.#session === undefined || next > this.#session) {
      // Whoever has signed under a lower number comes again, and begins with the others.
      for (const guest of here.filter(({ stage }) => stage !== 'waits'))
        this.#again(guest, next, 'the round has another number now')
      this.#session = next
    }
    for (const guest of here) if (guest.stage === 'waits') void this.#begin(guest, this.#session)
    const ready = here.filter(({ stage }) => stage === 'ready')
    const choice = chooseSums({
      ...this.#needs,
      waited: clock.now() - this.#since,
      ready,
      isHere: (peer) => here.some((guest) => guest.peer === peer),
      isPresent: (peer) => isPresent(peer) && !this.#complaints.isDoubtful(standing.current.hash, peer),
    })
    if ('why' in choice) this.#waiting = { since: this.#since, ...choice }
    else void this.#sum(choice)
  }

  async #begin(guest: Guest, session: number): Promise<void> {
    guest.stage = 'begun'
    const { standing, job } = this.#needs
    try {
      await guest.pipe.send('begin', { session, state: standing.current.hash, float32: true })
      await readAnswer(guest, job, standing.current.state)
      guest.stage = 'ready'
    } catch (error) {
      if (this.#guests.get(guest.peer) === guest) this.#guests.delete(guest.peer)
      this.#needs.log('member.lost', { session, ...factsOf(error), peer: guest.peer, stage: 'training' })
      if (!isLoss(error)) this.#complaints.doubt(guest.hello.state, guest.peer)
      await sendRefusal(guest.pipe, error, isLoss(error))
      guest.pipe.close()
    }
    this.#look()
  }

  async #sum(sums: readonly ChosenSum<Guest>[]): Promise<void> {
    this.#running = true
    this.#waiting = undefined
    const { clock, job, log, self } = this.#needs
    const session = this.#session!
    const began = clock.now()
    const guests = sums.flatMap((sum) => sum.guests)
    for (const guest of this.#guests.values()) {
      if (guests.includes(guest)) continue
      void sendRefusal(guest.pipe, new RoundAbortedError(session, 'begin', 'this round is without you'), true)
    }
    try {
      log('round.began', { session, aggregator: self.id, members: guests.map(({ peer }) => peer) })
      const told = await makeSums(this.#needs, this.#complaints, session, sums)
      await certify(job, session, told, this.#needs.times.stageMs)
      log('round.ended', { session, ms: Math.round(clock.now() - began) })
    } catch (error) {
      log('round.aborted', { session, ...factsOf(error) })
    } finally {
      for (const { pipe } of guests) clock.after(50, () => pipe.close())
      this.#guests.clear()
      this.#session = undefined
      this.#since = 0
      this.#running = false
    }
  }
}
