/** What a member does for itself: it goes to whoever aggregates, again and again, until the job is over. */
import { JobRefusedError, SumLostError } from '../plan/errors.ts'
import { timeInWords } from '../plan/train-plan.ts'
import type { Waiting } from './coordinator-types.ts'
import { Lookout } from './lookout.ts'
import { madeOf, stateAfter } from './made-state.ts'
import type { MemberNeeds } from './member-types.ts'
import { helloOf } from './hello.ts'
import { OwnUpdate } from './own-update.ts'
import { onlyWhile } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import { secureRound } from './secure-round.ts'
import { decodeState, encodeState, NOTHING_BEGUN, stateHash, stepsOf } from './state.ts'
import type { Begun, FedState } from './state.ts'
import { tellPlain } from './plain-member.ts'
import type { Outcome } from './plain-member.ts'
import { resultBytes, validSigners } from './signed-result.ts'
import type { RoundResult } from './signed-result.ts'
import { MOST_AHEAD, takeUp } from './take-up.ts'
import { ToldWait } from './told-wait.ts'
import { validVotes, voteBytes } from './votes.ts'
import { bodyOf, expectOf, factsOf, isLoss, isOfOthers, RefusedByPeer, sendRefusal } from './wire.ts'

/** Until here nothing has begun that others wait for. */
const EARLY: ReadonlySet<string> = new Set(['waits', 'training', 'advertised', 'sent'])

export class MemberLoop {
  readonly #needs: MemberNeeds
  readonly #lookout: Lookout
  readonly #abort = new AbortController()
  readonly #told: ToldWait
  readonly #skipped = new Map<string, number>()
  readonly #own: OwnUpdate
  #aggregator: string | undefined
  #isLeaving = false
  /** Since when this member waits for the result of a sum from which state. */
  #bound: { readonly key: string; readonly since: number } | undefined
  #stage = 'idle'
  /** The stage in which this site refused to go on. */
  failedIn: string | undefined

  constructor(needs: MemberNeeds) {
    this.#needs = needs
    this.#lookout = new Lookout(needs)
    this.#own = new OwnUpdate(needs)
    this.#told = new ToldWait(needs.clock, needs.job.peers)
  }

  get aggregator(): string | undefined {
    return this.#aggregator
  }

  get stage(): string {
    return this.#stage
  }

  /** Whom the round waits for, as the aggregator says. */
  get waiting(): Waiting | undefined {
    return this.#told.waiting
  }

  stop(): void {
    this.#abort.abort(new Error('the job was stopped here'))
  }

  /** Resolves when the job is over. @throws what this site refuses: then it takes no part any more */
  async run(): Promise<void> {
    const { job, standing, clock, times, permit, noted, admits, self } = this.#needs
    const { signal } = this.#abort
    while (!job.isOver(standing.current.state) || !standing.isCertified) {
      signal.throwIfAborted()
      await noted?.()
      await permit()
      this.#checkLost()
      let moved = false
      // Out of the membership, this one waits: it may be let in again.
      const isIn = admits(self.id)
      if (isIn) await this.#lookout.follow((peer, others) => this.#visit(peer, others, signal))
      const order = isIn ? job.aggregators(standing.base) : []
      for (const [index, peer] of order.entries()) {
        if (!admits(peer) || clock.now() < (this.#skipped.get(peer) ?? 0)) continue
        moved = await this.#visit(peer, order.slice(0, index), signal)
        if (moved) break
      }
      if (!moved) await clock.sleep(times.retryMs, signal)
    }
    await noted?.()
    this.#stage = 'over'
  }

  /** True: something came of it, and the order begins anew. */
  async #visit(peer: string, better: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { connect, clock, times, log } = this.#needs
    let pipe: Pipe
    try {
      pipe = await connect(peer, signal)
    } catch {
      this.#skipped.set(peer, clock.now() + times.skipMs / 4)
      return false
    }
    const stop = (): void => pipe.close()
    signal.addEventListener('abort', stop, { once: true })
    this.#aggregator = peer
    this.#isLeaving = false
    const left = this.#patienceLeft()
    const cancel = left === undefined ? undefined : clock.after(left, () => this.#leave(pipe))
    void this.#lookout.watch(better, pipe, () => this.#leave(pipe))
    try {
      await this.#converse(
        onlyWhile(this.#told.heardOn(pipe), () => this.#checkAdmitted(peer)),
        signal,
      )
      this.#skipped.clear()
      return true
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof RefusedByPeer) {
        if (!error.later) log('refused', { by: peer, ...factsOf(error) })
        // In the clear an aggregator that says so has not summed it; of a masked vector nobody can say that.
        else if (!this.#needs.job.isSecure) this.#own.notSummed()
        this.#skipped.set(peer, clock.now() + (error.later ? 0 : times.skipMs))
        return false
      }
      if (!isLoss(error)) {
        await sendRefusal(pipe, error, false, !isOfOthers(error))
        this.failedIn = isOfOthers(error) ? undefined : this.#stage
        if (this.failedIn !== undefined) throw error
      }
      // Left for an earlier one: that begins with the first again.
      if (this.#isLeaving) return true
      log('aggregator.lost', { peer, stage: this.#stage, ...factsOf(error) })
      this.#skipped.set(peer, clock.now() + times.skipMs)
      return false
    } finally {
      cancel?.()
      signal.removeEventListener('abort', stop)
      this.#aggregator = undefined
      this.#told.clear()
      this.#stage = 'idle'
      pipe.close()
    }
  }

  /** Milliseconds that a sum which this member has signed is still waited for; undefined: it waits for none. */
  #patienceLeft(): number | undefined {
    const { job, standing, clock } = this.#needs
    const { hash, state } = standing.current
    if (standing.bound === null || job.math.noise(state) !== undefined) return undefined
    const key = Buffer.from(hash).toString('hex')
    if (this.#bound?.key !== key) this.#bound = { key, since: clock.now() }
    return Math.max(0, this.#patienceMs - (clock.now() - this.#bound.since))
  }

  get #patienceMs(): number {
    return this.#needs.times.lostMs ?? this.#needs.job.patienceMs
  }

  /** @throws SumLostError */
  #checkLost(): void {
    const { job, standing, self, connected } = this.#needs
    if (this.#patienceLeft() !== 0) return
    const missing = (standing.bound ?? []).filter((peer) => peer !== self.id && connected?.(peer) === false)
    throw new SumLostError(job.id, missing, timeInWords(this.#patienceMs))
  }

  #checkAdmitted(peer: string): void {
    const { admits, job } = this.#needs
    if (!admits(peer)) throw new JobRefusedError(job.id, `${peer} is no member any more`)
  }

  #leave(pipe: Pipe): void {
    if (!pipe.isOpen || !EARLY.has(this.#stage)) return
    this.#skipped.clear()
    this.#isLeaving = true
    pipe.close()
  }

  async #converse(pipe: Pipe, signal: AbortSignal): Promise<void> {
    const { job, standing, times } = this.#needs
    const { state, hash, votes } = standing.current
    await pipe.send('hello', {
      ...helloOf(this.#needs),
      bound: standing.bound === null ? null : [...standing.bound],
      clusters: standing.boundClusters === null ? null : [...standing.boundClusters],
      certified: standing.isCertified,
      float32: true,
    })
    this.#stage = 'waits'
    for (;;) {
      const message = await expectOf(pipe, ['begin', 'push', 'pull', 'back'], times.silenceMs)
      if (message.kind === 'begin') {
        const { session, state: theirs, float32 = false } = bodyOf('begin', message)
        if (Buffer.compare(theirs, hash) !== 0) throw new JobRefusedError(job.id, 'a round begins from another model')
        if (session > standing.next + MOST_AHEAD) throw new JobRefusedError(job.id, 'a round has a number of its own')
        await standing.raise(session)
        return this.#round(pipe, session, signal, float32)
      }
      if (message.kind === 'pull') {
        await pipe.send('push', { next: standing.next, votes: [...(votes ?? [])] }, encodeState(state))
        continue
      }
      if (message.kind === 'back') return standing.back()
      const { next, votes: given } = bodyOf('push', message)
      const pushed = decodeState(message.payload)
      const theirs = stateHash(pushed)
      const valid = validVotes(job.id, theirs, given, job.peers)
      return takeUp(standing, job, pushed, theirs, valid, next)
    }
  }

  /** @param readsSingle whether the aggregator reads float32 in the clear */
  async #round(pipe: Pipe, session: number, signal: AbortSignal, readsSingle: boolean): Promise<void> {
    const { job, standing, log, times, applied, self, site } = this.#needs
    const { state, hash } = standing.current
    this.#stage = 'training'
    const prepared = await this.#own.for(state, hash, signal)
    // Whoever it aggregates for has brought it to another state while it trained.
    if (Buffer.compare(standing.current.hash, hash) !== 0) return
    const stage = (name: string): void => {
      this.#stage = name
      if (name === 'sent') this.#own.sent()
    }
    // What left once with this noise never leaves again with it.
    const charged = (): void => this.#own.clear()
    const leaves = (): Promise<void> => this.#own.leaves()
    const outcome = job.isSecure
      ? await secureRound({ ...this.#needs, stage, charged, leaves }, pipe, session, prepared)
      : await tellPlain({ ...this.#needs, stage }, pipe, prepared.contribution, readsSingle)
    this.#stage = 'applying'
    const { survivors, sums, told } = outcome
    const keep = async (made: Uint8Array | null): Promise<void> => {
      if (told !== undefined) await this.#needs.told?.({ session, aggregator: pipe.remote, ...told, state: made })
    }
    await keep(null)
    const made = (begun: Begun): FedState => madeOf(session, () => stateAfter(job, state, outcome, begun))
    const first = made(NOTHING_BEGUN)
    const next = state.pooled === null ? made(await site.begin(first)) : first
    // Somebody has brought this member to another state meanwhile.
    if (Buffer.compare(standing.current.hash, hash) !== 0) return
    const isIn = outcome.members === undefined || outcome.members.includes(self.id)
    await standing.apply(next, isIn ? prepared.memory : standing.memory, session + 1)
    this.#own.clear()
    const own = standing.current.hash
    await keep(own)
    const result = this.#resultOf(next, own, session, outcome)
    const signature = self.sign(resultBytes(result))
    await this.#needs.signed?.({ result, signatures: [{ peer: self.id, signature }] })
    try {
      await pipe.send('applied', { state: own, signature: self.sign(voteBytes(job.id, own)), result: signature })
    } finally {
      // Whoever aggregates may be gone by now: what came of the round stands all the same.
      await applied(state, {
        ...job.math.facts(state, sums),
        bytes: outcome.bytes ?? job.vectorBytes(state),
        ...(prepared.age === undefined ? {} : { own_age: isIn ? prepared.age : null }),
        members: survivors,
        session,
      })
    }
    const certificate = bodyOf('certificate', await expectOf(pipe, ['certificate'], times.silenceMs))
    const { state: theirs, votes, results = [] } = certificate
    await this.#needs.signed?.({ result, signatures: validSigners(result, results, job.peers) })
    const valid = validVotes(job.id, theirs, votes, job.peers)
    if (Buffer.compare(theirs, own) === 0 && valid.length >= job.math.t) await standing.certify(own, valid)
    else log('certificate.odd', { session, votes: valid.length })
  }

  #resultOf(
    state: FedState,
    hash: Uint8Array,
    session: number,
    { members = [], transcript }: Pick<Outcome, 'members' | 'transcript'>,
  ): RoundResult {
    const { id, planHash } = this.#needs.job
    const [plan, model, told] = [planHash, hash, transcript].map((bytes) => Buffer.from(bytes).toString('hex'))
    return {
      schema: 'weft.fed-signed-result/1',
      job: id,
      plan: plan!,
      step: stepsOf(state),
      session,
      model: model!,
      transcript: told!,
      members: [...members].sort(),
    }
  }
}
