/** The aggregator's part in one secure sum, over pipes to its members. Whoever says nothing, or something wrong, drops out. */
import { WeftError } from '../../errors.ts'
import { FederatedError } from '../errors.ts'
import { SecureAggregator } from '../secagg/aggregator.ts'
import type { AggregatorInit } from '../secagg/aggregator.ts'
import { compareBytes } from '../secagg/bytes.ts'
import { SignatureError } from '../secagg/errors.ts'
import type { Advertisement } from '../secagg/layout.ts'
import type { MaskedSum, MaskedTrailer, Reveal, SealedShares, Survivor } from '../secagg/messages.ts'
import { pack, packedBytes } from '../secagg/packing.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { VectorLengthError } from '../errors.ts'
import type { Collected, CollectorNeeds, Joined, Outgoing, Place, SharedSum } from './collector-types.ts'
import { giveSum } from './hand-over.ts'
import type { HeldSum } from './hand-over.ts'
import type { Pipe } from './pipe.ts'
import { bodyOf, expectOf, factsOf, RefusedByPeer, revealOf, sendRefusal } from './wire.ts'

/** Nobody is told the sum yet. @throws ThresholdError, ShareError: there is none; whoever is still there is told to come again */
export async function collectSum(
  needs: CollectorNeeds,
  init: AggregatorInit,
  all: readonly Joined[],
): Promise<Collected> {
  const collector = new Collector(needs, init, all)
  try {
    return await collector.run()
  } catch (error) {
    collector.name(error)
    await Promise.all(all.map(({ pipe }) => sendRefusal(pipe, error, true)))
    throw error
  }
}

/** One secure sum, stage by stage. */
export class Collector {
  readonly #needs: CollectorNeeds
  readonly #init: AggregatorInit
  #members: Place[]
  readonly #gone = new Set<number>()
  #aggregator: SecureAggregator
  #roster: readonly Advertisement[] = []
  #sealed: ReadonlyMap<number, readonly SealedShares[]> = new Map()
  #sharers: readonly number[] = []
  #upper: MaskedTrailer | undefined
  /** Where they are kept. */
  readonly #vectors = new Map<number, Uint8Array>()
  readonly #reveals = new Map<number, Reveal>()

  constructor(needs: CollectorNeeds, init: AggregatorInit, all: readonly Place[]) {
    this.#needs = needs
    this.#init = init
    this.#members = all.toSorted((left, right) => compareBytes(left.entry.identity, right.entry.identity))
    for (const [position, { pipe }] of this.#members.entries()) if (pipe === undefined) this.#gone.add(position)
    this.#aggregator = new SecureAggregator({ crypto: nodePrimitives }, init)
  }

  async run(): Promise<Collected> {
    await this.share()
    this.#needs.stage('vectors')
    await this.#gather('vectors', [...this.#sealed.keys()], (position, pipe) => this.#vector(position, pipe))
    return this.unmask()
  }

  /** R0 and R1: keys, and shares of them. @returns PeerIds of those who have shared theirs. @throws ThresholdError */
  async share(): Promise<readonly string[]> {
    const { stage } = this.#needs
    this.#roster = this.#advertised()
    stage('shares')
    await this.#send(this.#all().map((position) => this.#out(position, 'roster', { entries: this.#roster })))
    await this.#gather('shares', this.#all(), async (position, pipe) => {
      const message = await expectOf(pipe, ['shares'], this.#needs.stageMs)
      this.#aggregator.shares(position, bodyOf('shares', message))
    })
    this.#sealed = this.#aggregator.closeShares()
    this.#sharers = [...this.#sealed.keys()]
    await this.#send([...this.#sealed].map(([position, list]) => this.#out(position, 'ciphertexts', { sealed: list })))
    return [...this.#sealed.keys()].flatMap((at) => (this.#gone.has(at) ? [] : [this.#members[at]!.peer]))
  }

  /** Its masked vector is a sum of others, for which it has signed. @throws SignatureError, SurvivorsError */
  include(peer: string, { sum, upper }: Pick<Collected, 'sum' | 'upper'>): void {
    const position = this.#members.findIndex((member) => member.peer === peer)
    if (upper === undefined || position < 0) throw new SignatureError(`${peer} does not vouch for what it was to mask`)
    this.#aggregator.vouched(position, upper)
    this.#aggregator.include(sum)
  }

  /** R3 and R4: one set of survivors, and what its masks are made of. @throws ThresholdError, ShareError */
  async unmask(): Promise<Collected> {
    const survivors = this.#aggregator.closeVectors()
    const hasSuccessor = (this.#needs.successors?.length ?? 0) > 0
    return this.#open(survivors, hasSuccessor ? this.#aggregator.maskedSum(survivors) : undefined)
  }

  get shared(): SharedSum {
    return { roster: this.#roster, sharers: [...this.#sharers] }
  }

  /** In place of R0 and R1, which another aggregator did. @throws what `checkRoster` throws, SurvivorsError */
  resumeShared({ roster, sharers }: SharedSum): readonly string[] {
    this.#roster = this.#aggregator.resumeShared(roster, sharers)
    this.#sharers = sharers
    return sharers.map((position) => this.#members[position]!.peer)
  }

  /** The same of a sum that another aggregator began. */
  resume({ upper, ...sum }: HeldSum, sid: Uint8Array): Promise<Collected> {
    this.#upper = upper?.trailer
    return this.#open(this.#aggregator.resume(sum, sid), sum)
  }

  async #open(survivors: readonly Survivor[], given?: MaskedSum): Promise<Collected> {
    const { stage } = this.#needs
    stage('signatures')
    const alive = survivors.map(({ position }) => position)
    const sum = given === undefined ? {} : { sum: new Uint8Array(nodePrimitives.sha256(given.packed)) }
    const told = alive.map((position) => this.#out(position, 'survivors', { list: survivors, ...sum }))
    // Before it has the sum its signature is missing, and nobody reveals: from then on another one can always open it.
    if (given !== undefined) await this.#handOver(alive, given)
    await this.#send(told)
    await this.#gather('signatures', alive, async (position, pipe) => {
      const message = await expectOf(pipe, ['consistency'], this.#needs.stageMs)
      this.#aggregator.consistency({ ...bodyOf('consistency', message), position })
    })
    const ballots = this.#aggregator.closeSignatures()
    await this.#needs.together?.()
    stage('reveals')
    const signers = ballots.map(({ position }) => position)
    await this.#send(signers.map((position) => this.#out(position, 'ballots', { list: ballots })))
    await this.#gather('reveals', signers, async (position, pipe) => {
      const message = await expectOf(pipe, ['reveal'], this.#needs.stageMs)
      const reveal = revealOf(bodyOf('reveal', message))
      this.#aggregator.reveal(position, reveal)
      this.#reveals.set(position, reveal)
    })
    const opened = this.#aggregator.finish()
    const members = alive.map((position) => this.#members[position]!.peer)
    const { bits } = this.#init.header
    const packed = pack(opened.words, bits)
    const [vectors, reveals, sharers] = [this.#vectors, this.#reveals, this.#sharers]
    await this.#needs.keep?.({ roster: this.#roster, sharers, survivors, ballots, reveals, vectors, sum: packed })
    const tell = (body: object, payload: Uint8Array): Promise<void> => {
      stage('result')
      return this.#send(this.#all().map((position) => this.#out(position, 'result', body, payload)))
    }
    return { members, sum: packed, tell, upper: this.#upper }
  }

  /** To the first that takes it: who does not is gone. */
  async #handOver(alive: readonly number[], sum: MaskedSum): Promise<void> {
    const { clock, stageMs, successors = [] } = this.#needs
    const trailer = this.#upper
    const shared = trailer === undefined ? undefined : this.#needs.upper?.()
    const upper = shared === undefined || trailer === undefined ? undefined : { ...shared, trailer }
    for (const peer of successors) {
      const position = alive.find((at) => this.#members[at]!.peer === peer && !this.#gone.has(at))
      const pipe = position === undefined ? undefined : this.#members[position]!.pipe
      if (position === undefined || pipe === undefined) continue
      try {
        await giveSum(clock, pipe, { ...sum, upper }, stageMs)
        return
      } catch (error) {
        this.#drop(position, 'handover', error)
      }
    }
  }

  /** The roster of those whose advertisements are right; others drop out, each by its own fault. */
  #advertised(): readonly Advertisement[] {
    for (;;) {
      const aggregator = new SecureAggregator({ crypto: nodePrimitives }, this.#init)
      for (const { entry } of this.#members) aggregator.advertise(entry)
      try {
        const roster = aggregator.closeAdvertisements()
        this.#aggregator = aggregator
        return roster
      } catch (error) {
        const party = error instanceof FederatedError ? error.party : undefined
        const member = party === undefined ? undefined : this.#members[party]
        if (member === undefined) throw error
        this.#needs.dropped({ peer: member.peer, ...factsOf(error), stage: 'advertisements' })
        if (member.pipe !== undefined) void sendRefusal(member.pipe, error, false)
        this.#members = this.#members.filter((other) => other !== member)
      }
    }
  }

  async #vector(position: number, pipe: Pipe): Promise<void> {
    const { bits, d } = this.#init.header
    const length = packedBytes(d, bits)
    const packed = new Uint8Array(length)
    let at = 0
    for (;;) {
      const message = await expectOf(pipe, ['piece', 'masked'], this.#needs.stageMs)
      if (message.kind === 'piece') {
        if (at + message.payload.length > length) {
          throw new VectorLengthError('a masked vector is longer than the round says', { party: position })
        }
        packed.set(message.payload, at)
        at += message.payload.length
        continue
      }
      if (at !== length) throw new VectorLengthError('a masked vector is cut short', { party: position })
      const { upper, ...trailer } = bodyOf('masked', message)
      this.#aggregator.masked(position, packed, trailer)
      if (this.#members[position]!.upper !== undefined) this.#upper = upper
      if (this.#needs.keep !== undefined) this.#vectors.set(position, packed)
      return
    }
  }

  /** Says whose place in the roster it is that an error speaks of. */
  name(error: unknown): void {
    if (!(error instanceof FederatedError) || error.party === undefined) return
    error.tell({ member: this.#members[error.party]?.peer })
  }

  #all(): number[] {
    return this.#members.map((_, position) => position)
  }

  #out(position: number, kind: string, body: object, payload?: Uint8Array): Outgoing {
    const { peer } = this.#members[position]!
    return { to: peer, position, kind, body, ...(payload === undefined ? {} : { payload }) }
  }

  async #send(messages: readonly Outgoing[]): Promise<void> {
    const { filter } = this.#needs
    const list = filter === undefined ? messages : await filter(this.#init.header.round, messages)
    await Promise.all(
      list.map(async ({ to, kind, body, payload }) => {
        const position = this.#members.findIndex(({ peer }) => peer === to)
        const pipe = this.#members[position]?.pipe
        if (pipe === undefined || this.#gone.has(position)) return
        await pipe.send(kind, body, payload).catch((error: unknown) => this.#drop(position, kind, error))
      }),
    )
  }

  /** One message of each; who does not give it in time, or gives a wrong one, has dropped out of what follows. */
  async #gather(
    stage: string,
    positions: readonly number[],
    read: (position: number, pipe: Pipe) => Promise<void>,
  ): Promise<void> {
    await Promise.all(
      positions.map(async (position) => {
        if (this.#gone.has(position)) return
        try {
          await read(position, this.#members[position]!.pipe!)
        } catch (error) {
          this.#drop(position, stage, error)
        }
      }),
    )
  }

  #drop(position: number, stage: string, error: unknown): void {
    if (this.#gone.has(position)) return
    this.#gone.add(position)
    const named = error instanceof RefusedByPeer && error.party !== undefined ? this.#members[error.party] : undefined
    this.#needs.dropped({ ...factsOf(error), peer: this.#members[position]!.peer, stage, about: named?.peer })
    // What it said is wrong: it hears so, where it still listens.
    const { pipe } = this.#members[position]!
    if (error instanceof WeftError && pipe !== undefined) void sendRefusal(pipe, error, false)
  }
}
