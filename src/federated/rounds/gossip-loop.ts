/**
 * What a member of a gossip does for itself: it trains its own model, mixes it with those of its group, and goes on with the mean; round after
 * round, with others each time. Where its group makes no sum it goes on with its own. It signs one set a round: once it has signed, its vector of
 * that round is used up, and what it mixes next is trained further.
 */
import { JobRefusedError } from '../plan/errors.ts'
import type { FedPlan } from '../plan/schema.ts'
import type { Waiting } from './coordinator-types.ts'
import { candidates } from './election.ts'
import { mixWithGroup } from './gossip-mix.ts'
import type { Mixed } from './gossip-mix.ts'
import type { GossipState } from './gossip-state.ts'
import { distance } from './gossip-sum.ts'
import type { OwnModel } from './gossip-sum.ts'
import { helloOf } from './hello.ts'
import type { Group, JobView } from './job-view.ts'
import type { MemberNeeds } from './member-types.ts'
import { onlyWhile } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import type { FedState } from './state.ts'
import { ToldWait } from './told-wait.ts'
import { bodyOf, expectOf, factsOf, isLoss, isOfOthers, RefusedByPeer, sendRefusal } from './wire.ts'

/** A site as gossip sees it. */
export interface GossipSite {
  readonly records: number
  /** The model that all begin with. */
  weights(state: FedState): Promise<Float32Array>
  /** Local training from a model of its own. */
  trainFrom(start: Float32Array, round: number, signal?: AbortSignal): Promise<Omit<OwnModel, 'records'>>
}

/** What is noted of a round. */
export interface GossipNote {
  /** From 1. */
  readonly round: number
  /** In the sum; 1: this member went on alone. */
  readonly members: number
  readonly records: number
  readonly loss: number
  readonly bytes: number
  readonly mixed: boolean
  /** Why it went on alone. */
  readonly why?: string
  readonly code?: string | undefined
  /** Root mean square of what mixing changed of its model. */
  readonly distance?: number
}

export interface GossipNeeds extends Pick<
  MemberNeeds,
  'random' | 'self' | 'standing' | 'ledger' | 'times' | 'admits' | 'before' | 'clock' | 'connect' | 'permit' | 'log'
> {
  readonly job: JobView<FedPlan>
  readonly gossip: GossipState
  readonly site: GossipSite
  readonly noted: (note: GossipNote, model: Float32Array) => Promise<void>
}

/** A group waits so much longer than its plan says for who does not come: whoever aggregates it looks at the same clock. */
const MARGIN_MS = 5_000
const GROUP_TOO_SMALL = 'WEFT-FED-088'
/** Until here nothing has begun that others wait for. */
const EARLY: ReadonlySet<string> = new Set(['waits', 'advertised'])

/** Why there is no sum. */
interface Alone {
  readonly why: string
  readonly code?: string | undefined
  /** The group has been there without this member. */
  readonly isPast?: boolean
}

interface GroupRound {
  /** Rounds before. */
  readonly step: number
  readonly group: Group
  readonly own: OwnModel
  /** Who comes before the one that is visited. */
  readonly better: readonly string[]
}

export class GossipLoop {
  readonly #needs: GossipNeeds
  readonly #abort = new AbortController()
  readonly #told: ToldWait
  #stage = 'idle'
  #aggregator: string | undefined
  #hasSigned = false
  #isLeaving = false
  #isOver = false
  /** Who says that the round of this group is behind it. */
  #past = new Set<string>()
  /** The stage in which this site refused to go on. */
  failedIn: string | undefined

  constructor(needs: GossipNeeds) {
    this.#needs = needs
    this.#told = new ToldWait(needs.clock, needs.job.peers)
  }

  get stage(): string {
    return this.#stage
  }

  get aggregator(): string | undefined {
    return this.#aggregator
  }

  get waiting(): Waiting | undefined {
    return this.#told.waiting
  }

  /** Whether all rounds are over, and noted. */
  get isOver(): boolean {
    return this.#isOver
  }

  stop(): void {
    this.#abort.abort(new Error('the job was stopped here'))
  }

  /** Resolves when the last round is over. @throws what this site refuses */
  async run(): Promise<void> {
    const { gossip, job } = this.#needs
    while (gossip.step < job.plan.rounds) {
      this.#abort.signal.throwIfAborted()
      await this.#needs.permit()
      await this.#round()
    }
    this.#stage = 'over'
    this.#isOver = true
  }

  async #round(): Promise<void> {
    const { gossip, site, standing, noted, job } = this.#needs
    const { signal } = this.#abort
    const { step } = gossip
    this.#stage = 'training'
    const start = gossip.model ?? (await site.weights(standing.current.state))
    const own: OwnModel = { ...(await site.trainFrom(start, step, signal)), records: site.records }
    this.#hasSigned = false
    let at = step
    let came = await this.#mix(at, own)
    // Whoever comes late mixes with the first group that is not over: its model needs none of the rounds in between.
    while ('why' in came && came.isPast === true && at + 1 < job.plan.rounds) came = await this.#mix(++at, own)
    if ('why' in came) {
      const { why, code } = came
      await gossip.save(at + 1, own.weights)
      const alone = { members: 1, records: own.records, loss: own.loss, bytes: 0, mixed: false, why, code }
      await noted({ round: at + 1, ...alone }, own.weights)
      return
    }
    const { model, members, loss, records, bytes } = came
    await gossip.save(at + 1, model)
    const facts = { members: members.length, loss, records, bytes, mixed: true, distance: distance(own.weights, model) }
    await noted({ round: at + 1, ...facts }, model)
  }

  async #mix(step: number, own: OwnModel): Promise<Mixed | Alone> {
    const { job, self, clock, times, admits } = this.#needs
    const { signal } = this.#abort
    this.#past = new Set()
    const group = job.gossipGroup(self.id, step)
    const order = candidates(
      `${job.id}/gossip`,
      step,
      group.members.map(({ peer }) => peer),
    )
    const until = clock.now() + job.deadlineMs + MARGIN_MS
    while (clock.now() < until) {
      signal.throwIfAborted()
      for (const [index, peer] of order.entries()) {
        // Out of the membership, this one is alone.
        if (!admits(peer) || !admits(self.id)) continue
        const came = await this.#visit(peer, { step, group, own, better: order.slice(0, index) })
        if (came !== undefined) return came
        if (this.#hasSigned) return { why: 'the result of its sum is not known here' }
        // Left for an earlier one: that begins with the first again.
        if (this.#isLeaving) break
      }
      if (this.#isPast(group)) return { why: 'its group is over', isPast: true }
      await clock.sleep(times.retryMs, signal)
    }
    return { why: 'its group did not come together in time' }
  }

  /** @returns nothing: another one is tried. @throws what is this site's own affair */
  async #visit(peer: string, round: GroupRound): Promise<Mixed | Alone | undefined> {
    const { connect, log } = this.#needs
    const { signal } = this.#abort
    let pipe: Pipe
    try {
      pipe = await connect(peer, signal)
    } catch {
      return undefined
    }
    const stop = (): void => pipe.close()
    signal.addEventListener('abort', stop, { once: true })
    this.#aggregator = peer
    this.#isLeaving = false
    this.#stage = 'waits'
    void this.#watch(pipe, round)
    try {
      return await this.#converse(
        onlyWhile(this.#told.heardOn(pipe), () => this.#checkAdmitted(peer)),
        round,
      )
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof RefusedByPeer) {
        log('refused', { by: peer, ...factsOf(error) })
        return error.code === GROUP_TOO_SMALL ? { why: error.message, code: error.code } : undefined
      }
      if (!isLoss(error)) {
        await sendRefusal(pipe, error, false, !isOfOthers(error))
        if (!isOfOthers(error)) {
          this.failedIn = this.#stage
          throw error
        }
      }
      if (!this.#isLeaving) log('aggregator.lost', { peer, stage: this.#stage, ...factsOf(error) })
      return undefined
    } finally {
      signal.removeEventListener('abort', stop)
      this.#told.clear()
      this.#aggregator = undefined
      pipe.close()
    }
  }

  async #converse(pipe: Pipe, { step, group, own }: GroupRound): Promise<Mixed | Alone | undefined> {
    const { job, standing, times, gossip } = this.#needs
    const { hash } = standing.current
    await pipe.send('hello', this.#hello({ step }))
    const message = await expectOf(pipe, ['begin', 'ahead'], times.silenceMs)
    if (message.kind === 'ahead') {
      this.#past.add(pipe.remote)
      return undefined
    }
    const { session, state: theirs } = bodyOf('begin', message)
    if (session !== step || Buffer.compare(theirs, hash) !== 0) {
      throw new JobRefusedError(job.id, 'a group begins with another round or another model')
    }
    const stage = (name: string): void => void (this.#stage = name)
    const signed = async (): Promise<void> => {
      this.#hasSigned = true
      await gossip.save(step + 1, own.weights)
    }
    const mixed = await mixWithGroup({ ...this.#needs, stage, signed }, pipe, step, group, own)
    return mixed ?? { why: 'too few of its group have the same result' }
  }

  #hello(gossip: { readonly step: number; readonly asks?: boolean }): object {
    return { ...helloOf(this.#needs), bound: null, certified: true, gossip }
  }

  /**
   * While this member waits it asks the others of its group: one that comes earlier in the order is there after all, and all have to come to the
   * same; or the round is behind them, and nobody comes any more.
   */
  async #watch(pipe: Pipe, { step, group, better }: GroupRound): Promise<void> {
    const { clock, times, self } = this.#needs
    const others = group.members.flatMap(({ peer }) => (peer === self.id || peer === pipe.remote ? [] : [peer]))
    const isWaiting = (): boolean => pipe.isOpen && EARLY.has(this.#stage)
    for (;;) {
      await clock.sleep(times.probeMs)
      for (const peer of others) {
        if (!isWaiting()) return
        const answer = await this.#ask(peer, step)
        if (answer === 'ahead') this.#past.add(peer)
        if (!(answer === 'here' && better.includes(peer)) && !this.#isPast(group)) continue
        if (!isWaiting()) return
        this.#isLeaving = true
        return pipe.close()
      }
    }
  }

  async #ask(peer: string, step: number): Promise<'ahead' | 'here' | undefined> {
    const { connect, times } = this.#needs
    const pipe = await connect(peer, this.#abort.signal).catch(() => undefined)
    if (pipe === undefined) return undefined
    try {
      await pipe.send('hello', this.#hello({ step, asks: true }))
      return (await expectOf(pipe, ['ahead', 'here'], times.silenceMs)).kind
    } catch {
      return undefined
    } finally {
      pipe.close()
    }
  }

  /** Believed where two say so: one may say anything. */
  #isPast({ members }: Group): boolean {
    return this.#past.size >= Math.min(2, members.length - 1)
  }

  #checkAdmitted(peer: string): void {
    const { admits, job } = this.#needs
    if (!admits(peer)) throw new JobRefusedError(job.id, `${peer} is no member any more`)
  }
}
