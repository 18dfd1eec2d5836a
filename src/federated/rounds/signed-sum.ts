/**
 * What a member has of a sum from the moment it has signed the survivors: one signature, and one share of each. It gives them to
 * whoever opens that very sum, its aggregator or, where that is gone, another one; what can be opened with them is the same.
 */
import { JobRefusedError } from '../plan/errors.ts'
import type { SecureClient } from '../secagg/client.ts'
import { OrderError } from '../secagg/errors.ts'
import { survivorsBytes } from '../secagg/layout.ts'
import type { Advertisement, RoundHeader } from '../secagg/layout.ts'
import type { Consistency, Reveal } from '../secagg/messages.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { Delegate } from './delegate.ts'
import { readSurvivors, sendHeld } from './hand-over.ts'
import type { GivenSum } from './hand-over.ts'
import type { Pipe } from './pipe.ts'
import { bodyOf, expectOf, revealBody } from './wire.ts'
import type { Body } from './wire.ts'

/** What came of a sum, as the aggregator says. */
export interface ToldSum {
  readonly result: Body<'result'>
  /** Packed. */
  readonly payload: Uint8Array
  readonly sid: Uint8Array
  /** SHA-256 of the set of survivors that this member signed, with the digests of their vectors. */
  readonly signed: Uint8Array
}

export interface SignedSumNeeds {
  readonly before?: ((stage: string) => Promise<void>) | undefined
  /** Durable when it resolves; only then a share leaves. @throws ReplayError: shares of another sum have left */
  readonly reveals?: (() => Promise<void>) | undefined
  readonly stage: (name: string) => void
}

export interface SignedSumInit {
  readonly client: Pick<SecureClient, 'consistency' | 'abort'>
  /** Of the round that was begun. */
  readonly header: Pick<RoundHeader, 'round' | 'd' | 'bits'>
  readonly sid: Uint8Array
  readonly roster: readonly Advertisement[]
  readonly list: Body<'survivors'>['list']
  /** SHA-256 of the sum, masks and all, as its aggregator said. */
  readonly sum?: Uint8Array | undefined
  readonly consistency: Consistency
  /** Where this member is the one to go on. */
  readonly masked?: GivenSum | undefined
  /** Where it is the delegate of its cluster. */
  readonly upper?: Delegate | undefined
  /** Milliseconds that an aggregator may be silent. */
  readonly wait: number
}

export class SignedSum {
  readonly #needs: SignedSumNeeds
  readonly #init: Omit<SignedSumInit, 'client' | 'masked'>
  #masked: SignedSumInit['masked']
  /** Until it has revealed: with it goes the vector. */
  #client: SignedSumInit['client'] | undefined
  #reveal: Reveal | undefined
  #isEnded = false

  constructor(needs: SignedSumNeeds, { client, masked, ...init }: SignedSumInit) {
    this.#needs = needs
    this.#init = init
    this.#client = client
    this.#masked = masked
  }

  get sid(): Uint8Array {
    return this.#init.sid
  }

  /** Of the roster, hex, by place. */
  get identities(): readonly string[] {
    return this.#init.roster.map(({ identity }) => Buffer.from(identity).toString('hex')).sort()
  }

  /** Whether this member can pass the sum on. */
  get holds(): boolean {
    return this.#masked !== undefined
  }

  /** Whether anybody can be helped with it again. */
  get isOpen(): boolean {
    return !this.#isEnded
  }

  /** The rest of the round, with whoever began it. @throws the refusals of the protocol, RefusedByPeer, why the pipe ended */
  async open(pipe: Pipe): Promise<ToldSum> {
    const { before } = this.#needs
    await before?.('consistency')
    await this.#sign(pipe)
    const reveal = await this.#revealed(pipe)
    await before?.('reveal')
    return this.#finish(pipe, reveal)
  }

  /** The same with another one. @param give whether it asked for the sum first. @throws as `open`, JobRefusedError */
  async resume(pipe: Pipe, give: boolean): Promise<ToldSum> {
    const { roster, list, sum, header, wait } = this.#init
    if (give) {
      const masked = this.#masked
      if (masked === undefined) throw new JobRefusedError('of a peer', 'a sum is asked for that is not held here')
      await sendHeld(pipe, { ...masked, roster, survivors: list, round: header.round })
    }
    const { list: theirs, masked: given, sum: told } = await readSurvivors(pipe, header, wait)
    if (sum === undefined || told === undefined || Buffer.compare(sum, told) !== 0)
      throw new JobRefusedError('of a peer', 'another sum is to be opened than its aggregator had')
    if (!this.#isSame(theirs)) throw new JobRefusedError('of a peer', 'another set is to be opened than was signed')
    this.#masked ??= given
    await this.#sign(pipe)
    return this.#finish(pipe, await this.#revealed(pipe))
  }

  /** Nothing more is answered. */
  abort(): void {
    this.#isEnded = true
    for (const { share } of this.#reveal?.values() ?? []) share.fill(0)
    this.#reveal = undefined
    this.#masked = undefined
    this.#client?.abort()
    this.#client = undefined
    this.#init.upper?.abort()
  }

  async #sign(pipe: Pipe): Promise<void> {
    await pipe.send('consistency', this.#init.consistency)
    this.#needs.stage('signed')
  }

  /** Enough have signed the same set: what this member gives away of each is then one share, whoever asks. */
  async #revealed(pipe: Pipe): Promise<Reveal> {
    const ballots = bodyOf('ballots', await expectOf(pipe, ['ballots'], this.#init.wait)).list
    if (this.#reveal !== undefined) return this.#reveal
    if (this.#client === undefined) throw new OrderError('this member is not in that sum any more')
    try {
      const reveal = this.#client.consistency(ballots)
      await this.#needs.reveals?.()
      this.#client = undefined
      this.#reveal = reveal
      return reveal
    } catch (error) {
      this.abort()
      throw error
    }
  }

  async #finish(pipe: Pipe, reveal: Reveal): Promise<ToldSum> {
    const { upper, sid, wait } = this.#init
    await pipe.send('reveal', revealBody(reveal))
    this.#needs.stage('revealed')
    await upper?.release(pipe, wait)
    const message = await expectOf(pipe, ['result'], wait)
    const signed = nodePrimitives.sha256(survivorsBytes(sid, digestsOf(this.#init.list)))
    return { result: bodyOf('result', message), payload: message.payload, sid, signed }
  }

  #isSame(theirs: Body<'survivors'>['list']): boolean {
    const { sid, list } = this.#init
    const [own, other] = [list, theirs].map((each) => survivorsBytes(sid, digestsOf(each)))
    return theirs.length === list.length && Buffer.compare(own!, other!) === 0
  }
}

function digestsOf(list: Body<'survivors'>['list']): ReadonlyMap<number, Uint8Array> {
  return new Map(list.map(({ position, digest }) => [position, digest]))
}
