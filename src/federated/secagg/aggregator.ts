/**
 * The aggregator's side of a round: it collects, passes on and adds. Nobody trusts it, so what it checks serves progress
 * (who is to blame) and not secrecy. It holds one sum and no vector of a member.
 */
import { DigestMismatchError, EmptyInputError, inStage } from '../errors.ts'
import { equalBytes } from './bytes.ts'
import { checkSum } from './encoding.ts'
import { OrderError, ReplayError, SignatureError, SurvivorsError, ThresholdError } from './errors.ts'
import { COMPLETE, createGraph, holdersOf } from './graph.ts'
import type { Graph, GraphChoice } from './graph.ts'
import { headerBytes, maskedBytes, sessionId, survivorsBytes } from './layout.ts'
import type { Advertisement, RoundHeader } from './layout.ts'
import { pieces } from './masking.ts'
import type { Consistency, MaskedTrailer, Reveal, SealedShares, SharesMessage, Survivor } from './messages.ts'
import { addPacked, checkPacked, pack, packedBytes } from './packing.ts'
import type { Primitives } from './primitives.ts'
import { checkRoster, leastMembers } from './roster.ts'
import { checkReveal, restoreSecrets, unmaskSum } from './unmask.ts'
import type { RestoredSecrets, UnmaskInput } from './unmask.ts'

/** What is collected, in this order. */
const STAGES = ['advertisements', 'shares', 'vectors', 'signatures', 'reveals', 'nothing'] as const
type Stage = (typeof STAGES)[number]

export interface AggregatorNeeds {
  readonly crypto: Primitives
  /** As in `ClientNeeds`. */
  readonly sessionId?: typeof sessionId
}

export interface AggregatorInit {
  readonly header: RoundHeader
  readonly members: readonly Uint8Array[]
  readonly noise?: number
  readonly graph?: GraphChoice
  /** As in `ClientInit`. */
  readonly quorum?: number
}

export interface SecureSum extends RestoredSecrets {
  /** Mod 2^bits. */
  readonly words: Uint32Array
  /** SHA-256 of the packed sum: what auditors compare. */
  readonly digest: Uint8Array
}

export class SecureAggregator {
  readonly #needs: AggregatorNeeds
  readonly #init: AggregatorInit
  #stage: Stage = 'advertisements'
  readonly #advertised: Advertisement[] = []
  #roster: readonly Advertisement[] = []
  #sid = new Uint8Array()
  #graph: Graph = { holders: () => [] }
  /** By receiver. */
  readonly #sealed = new Map<number, SealedShares[]>()
  readonly #sharers = new Set<number>()
  readonly #survivors = new Map<number, MaskedTrailer>()
  readonly #ballots = new Map<number, Uint8Array>()
  readonly #reveals = new Map<number, Reveal>()
  #sum = new Uint32Array()

  /** @throws EmptyInputError, ModulusError, ThresholdError */
  constructor(needs: AggregatorNeeds, init: AggregatorInit) {
    inStage('advertisements', () => {
      if (init.header.d === 0) throw new EmptyInputError('the model has no coordinate')
      const { graph = COMPLETE, members } = init
      checkSum(init.header, members.length, init.noise, holdersOf(graph, members.length))
    })
    this.#needs = needs
    this.#init = init
  }

  /** What is collected now. */
  get collects(): Stage {
    return this.#stage
  }

  advertise(entry: Advertisement): void {
    return this.#in('advertisements', () => {
      this.#advertised.push(entry)
    })
  }

  /** U1, for all. @throws what `checkRoster` throws */
  closeAdvertisements(): readonly Advertisement[] {
    return this.#in('advertisements', () => {
      const { crypto } = this.#needs
      const { header, members } = this.#init
      const bytes = headerBytes(header)
      this.#roster = checkRoster(crypto, this.#advertised, { header: bytes, members, t: header.t })
      this.#sid = new Uint8Array((this.#needs.sessionId ?? sessionId)(crypto, bytes, this.#roster))
      this.#graph = createGraph(crypto, this.#init.graph ?? COMPLETE, this.#roster.length, this.#sid)
      this.#stage = 'shares'
      return this.#roster
    })
  }

  /** @param from whose authenticated connection it came over */
  shares(from: number, { sid, index, sealed }: SharesMessage): void {
    return this.#in('shares', () => {
      if (from !== index || this.#sharers.has(from)) {
        throw new SurvivorsError(`member ${from} sends shares as ${index}, or twice`, { party: from })
      }
      if (!equalBytes(sid, this.#sid)) throw new SignatureError(`member ${from} is in another session`, { party: from })
      const receivers = new Set(sealed.map(({ position }) => position))
      const holders = this.#graph.holders(from).filter((holder) => holder !== from)
      if (
        receivers.size !== sealed.length ||
        holders.length !== sealed.length ||
        !holders.every((to) => receivers.has(to))
      ) {
        throw new SurvivorsError(`member ${from} does not share with each of its neighbours once`, { party: from })
      }
      this.#sharers.add(from)
      for (const { position: to, data } of sealed) {
        const list = this.#sealed.get(to) ?? []
        list.push({ position: from, data })
        this.#sealed.set(to, list)
      }
    })
  }

  /** What each member of U2 is sent, by receiver. @throws ThresholdError */
  closeShares(): ReadonlyMap<number, readonly SealedShares[]> {
    return this.#in('shares', () => {
      this.#enough(this.#sharers.size, leastMembers(this.#init.header.t), 'shared their keys')
      this.#sum = new Uint32Array(this.#init.header.d)
      this.#stage = 'vectors'
      return new Map([...this.#sharers].map((to) => [to, this.#sealed.get(to) ?? []]))
    })
  }

  /**
   * A whole packed vector, added at once; the caller may drop it, or keep it for auditors.
   * @throws ReplayError after the survivors are told: such a vector is never added
   */
  masked(from: number, packed: Uint8Array, { digest, signature }: MaskedTrailer): void {
    return this.#in('vectors', () => {
      const { crypto } = this.#needs
      const { bits, d } = this.#init.header
      const party = from
      if (!this.#sharers.has(from)) throw new SurvivorsError(`${from} shared no keys`, { party })
      if (this.#survivors.has(from)) throw new ReplayError(`member ${from} sends a second vector`, { party })
      if (!equalBytes(crypto.sha256(packed), digest)) {
        throw new DigestMismatchError(`the vector of member ${from} does not have its digest`, { party })
      }
      if (!crypto.verify(this.#roster[from]!.identity, maskedBytes(this.#sid, from, digest), signature)) {
        throw new SignatureError(`member ${from} did not sign its vector`, { party })
      }
      checkPacked(packed, bits, d, { party })
      addVector(packed, bits, this.#sum)
      this.#survivors.set(from, { digest, signature })
    })
  }

  /**
   * In place of a vector that is within the sums of others already: `include` brings it in. Its member signed the digest of
   * its own.
   */
  vouched(from: number, { digest, signature }: MaskedTrailer): void {
    return this.#in('vectors', () => {
      const party = from
      if (!this.#sharers.has(from)) throw new SurvivorsError(`${from} shared no keys`, { party })
      if (this.#survivors.has(from)) throw new ReplayError(`member ${from} vouches twice`, { party })
      if (!this.#needs.crypto.verify(this.#roster[from]!.identity, maskedBytes(this.#sid, from, digest), signature)) {
        throw new SignatureError(`member ${from} did not sign its vector`, { party })
      }
      this.#survivors.set(from, { digest, signature })
    })
  }

  /** Masked vectors of those who vouched, added by whoever has them. */
  include(packed: Uint8Array): void {
    const { bits, d } = this.#init.header
    inStage('vectors', () => checkPacked(packed, bits, d))
    addVector(packed, bits, this.#sum)
  }

  /** U3, for all of it. @throws ThresholdError */
  closeVectors(): readonly Survivor[] {
    return this.#in('vectors', () => {
      this.#enough(this.#survivors.size, leastMembers(this.#init.header.t), 'sent a vector')
      this.#stage = 'signatures'
      return [...this.#survivors].map(([position, trailer]) => ({ position, ...trailer }))
    })
  }

  consistency({ position: party, signature }: Consistency): void {
    return this.#in('signatures', () => {
      const { crypto } = this.#needs
      const digests = new Map([...this.#survivors].map(([position, { digest }]) => [position, digest]))
      if (!digests.has(party)) throw new SurvivorsError(`${party} is no survivor`, { party })
      if (this.#ballots.has(party)) throw new ReplayError(`member ${party} signs twice`, { party })
      if (!crypto.verify(this.#roster[party]!.identity, survivorsBytes(this.#sid, digests), signature)) {
        throw new SignatureError(`member ${party} signed another set of survivors`, { party })
      }
      this.#ballots.set(party, signature)
    })
  }

  /** U4, for all of it. @throws ThresholdError */
  closeSignatures(): readonly Consistency[] {
    return this.#in('signatures', () => {
      const { header, quorum = header.t } = this.#init
      this.#enough(this.#ballots.size, quorum, 'signed the survivors')
      this.#stage = 'reveals'
      return [...this.#ballots].map(([position, signature]) => ({ position, signature }))
    })
  }

  /** @throws SurvivorsError, ReplayError */
  reveal(from: number, reveal: Reveal): void {
    return this.#in('reveals', () => {
      if (this.#reveals.has(from)) throw new ReplayError(`member ${from} reveals twice`, { party: from })
      checkReveal(from, reveal, this.#unmaskInput())
      this.#reveals.set(from, reveal)
    })
  }

  /** @throws ThresholdError, ShareError; nothing is published then */
  finish(): SecureSum {
    return this.#in('reveals', () => {
      const { crypto } = this.#needs
      const { bits } = this.#init.header
      const input = this.#unmaskInput()
      const secrets = restoreSecrets(crypto, input)
      const words = this.#sum
      unmaskSum(crypto, input, secrets, words, bits)
      this.#stage = 'nothing'
      return { ...secrets, words, digest: sumDigest(crypto, words, bits) }
    })
  }

  #unmaskInput(): UnmaskInput {
    return {
      t: this.#init.header.t,
      sid: this.#sid,
      graph: this.#graph,
      roster: this.#roster,
      sharers: this.#sharers,
      survivors: new Set(this.#survivors.keys()),
      reveals: this.#reveals,
    }
  }

  #enough(have: number, needed: number, what: string): void {
    if (have < needed) throw new ThresholdError(`${have} members ${what}, ${needed} are needed`)
  }

  /** @throws OrderError, ReplayError: another stage is collected */
  #in<Result>(stage: Stage, action: () => Result): Result {
    return inStage(stage, () => {
      this.#expect(stage)
      return action()
    })
  }

  #expect(stage: Stage): void {
    if (this.#stage === stage) return
    const early = STAGES.indexOf(stage) > STAGES.indexOf(this.#stage)
    const what = `${stage} came while the aggregator collects ${this.#stage}`
    throw early ? new OrderError(what) : new ReplayError(what)
  }
}

/** Adds a packed vector in pieces. */
export function addVector(packed: Uint8Array, bits: number, sum: Uint32Array): void {
  for (const { from, to } of pieces(sum.length)) {
    const start = (from * bits) / 8
    addPacked(packed.subarray(start, start + packedBytes(to - from, bits)), bits, sum.subarray(from, to))
  }
}

export function sumDigest(crypto: Primitives, words: Uint32Array, bits: number): Uint8Array {
  const hash = crypto.hash()
  for (const { from, to } of pieces(words.length)) hash.update(pack(words.subarray(from, to), bits))
  return hash.digest()
}
