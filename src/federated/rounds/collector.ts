/** The aggregator's part in one secure sum, over pipes to its members. Whoever says nothing, or something wrong, drops out. */
import type { Clock } from '../../util/index.ts'
import { WeftError } from '../../errors.ts'
import { FederatedError } from '../errors.ts'
import { SecureAggregator } from '../secagg/aggregator.ts'
import type { AggregatorInit } from '../secagg/aggregator.ts'
import { compareBytes } from '../secagg/bytes.ts'
import { SignatureError } from '../secagg/errors.ts'
import type { Advertisement } from '../secagg/layout.ts'
import type { MaskedTrailer, Reveal, SealedShares } from '../secagg/messages.ts'
import { pack, packedBytes } from '../secagg/packing.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { VectorLengthError } from '../errors.ts'
import type { Pipe } from './pipe.ts'
import type { KeptRound } from './transcript.ts'
import { bodyOf, expectOf, factsOf, RefusedByPeer, revealOf, sendRefusal } from './wire.ts'

export interface Joined {
  readonly peer: string
  readonly pipe: Pipe
  readonly entry: Advertisement
  /** Of the sum of sums, where it is the one of its cluster that has a part in it. */
  readonly upper?: Advertisement | undefined
}

export interface Dropped {
  readonly peer: string
  readonly stage: string
  readonly why: string
  readonly code?: string | undefined
  /** Whose keys or shares it could not use, as it says. */
  readonly about?: string | undefined
}

export interface CollectorNeeds {
  readonly clock: Clock
  /** Milliseconds that a member may be silent in a stage. */
  readonly stageMs: number
  readonly stage: (name: string) => void
  /** A test interface: what would be sent to each goes through it. */
  readonly filter?: Filter | undefined
  /** Given the messages of the round before its sum is told; without it none are held. */
  readonly keep?: ((kept: KeptRound) => Promise<void>) | undefined
  /** Told of each that is out, when it is. */
  readonly dropped: (facts: Dropped) => void
}

export interface Outgoing {
  readonly to: string
  readonly position: number
  readonly kind: string
  readonly body: object
  readonly payload?: Uint8Array
}
/** What is sent instead. */
export type Filter = (round: number, messages: readonly Outgoing[]) => Promise<readonly Outgoing[]>

export interface Collected {
  /** PeerIds of those whose vectors are in it. */
  readonly members: readonly string[]
  /** The sum, packed. */
  readonly sum: Uint8Array
  /** What its delegate vouches for in the sum of sums. */
  readonly upper?: MaskedTrailer | undefined
  /** Sends all who are still there what came of the round. */
  tell(body: object, payload: Uint8Array): Promise<void>
}

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
  #members: Joined[]
  readonly #gone = new Set<number>()
  #aggregator: SecureAggregator
  #roster: readonly Advertisement[] = []
  #sealed: ReadonlyMap<number, readonly SealedShares[]> = new Map()
  #upper: MaskedTrailer | undefined
  /** Where they are kept. */
  readonly #vectors = new Map<number, Uint8Array>()
  readonly #reveals = new Map<number, Reveal>()

  constructor(needs: CollectorNeeds, init: AggregatorInit, all: readonly Joined[]) {
    this.#needs = needs
    this.#init = init
    this.#members = all.toSorted((left, right) => compareBytes(left.entry.identity, right.entry.identity))
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
    const { stage } = this.#needs
    const survivors = this.#aggregator.closeVectors()
    stage('signatures')
    const alive = survivors.map(({ position }) => position)
    await this.#send(alive.map((position) => this.#out(position, 'survivors', { list: survivors })))
    await this.#gather('signatures', alive, async (position, pipe) => {
      const message = await expectOf(pipe, ['consistency'], this.#needs.stageMs)
      this.#aggregator.consistency({ ...bodyOf('consistency', message), position })
    })
    const ballots = this.#aggregator.closeSignatures()
    stage('reveals')
    const signers = ballots.map(({ position }) => position)
    await this.#send(signers.map((position) => this.#out(position, 'ballots', { list: ballots })))
    await this.#gather('reveals', signers, async (position, pipe) => {
      const message = await expectOf(pipe, ['reveal'], this.#needs.stageMs)
      const reveal = revealOf(bodyOf('reveal', message))
      this.#aggregator.reveal(position, reveal)
      this.#reveals.set(position, reveal)
    })
    const sum = this.#aggregator.finish()
    const members = alive.map((position) => this.#members[position]!.peer)
    const { bits } = this.#init.header
    const packed = pack(sum.words, bits)
    const [vectors, reveals, sharers] = [this.#vectors, this.#reveals, [...this.#sealed.keys()]]
    await this.#needs.keep?.({ roster: this.#roster, sharers, survivors, ballots, reveals, vectors, sum: packed })
    const tell = (body: object, payload: Uint8Array): Promise<void> => {
      stage('result')
      return this.#send(this.#all().map((position) => this.#out(position, 'result', body, payload)))
    }
    return { members, sum: packed, tell, upper: this.#upper }
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
        void sendRefusal(member.pipe, error, false)
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
          await read(position, this.#members[position]!.pipe)
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
    if (error instanceof WeftError) void sendRefusal(this.#members[position]!.pipe, error, false)
  }
}
