/**
 * One member's side of a round of `fl-secagg/1` (reference/federated.md, 4.3): a state machine that trusts the aggregator
 * for nothing. Any violation ends it, erases its keys, and leaves the aggregator without a share.
 */
import { EmptyInputError, inStage } from '../errors.ts'
import { ascii, concat, equalBytes, u8 } from './bytes.ts'
import { EVENTS, placeOf } from './client-state.ts'
import type { ClientEvent, ClientState, HeldShares, Session } from './client-state.ts'
import { checkBallots, checkSurvivors, openShares } from './client-checks.ts'
import { checkSum } from './encoding.ts'
import { OrderError, ReplayError } from './errors.ts'
import { COMPLETE, createGraph, holdersOf } from './graph.ts'
import type { GraphChoice } from './graph.ts'
import { channelKeys, maskStream, pairKey, selfKey, shareContext } from './keys.ts'
import type { KeyPair } from './keys.ts'
import { advertiseBytes, headerBytes, maskedBytes, sessionId, survivorsBytes } from './layout.ts'
import type { Advertisement, RoundHeader } from './layout.ts'
import { applyMasks, PIECE, pieces, reduceWords } from './masking.ts'
import type {
  Consistency,
  MaskedTrailer,
  Reveal,
  RevealedShare,
  SealedShares,
  SharesMessage,
  Survivor,
} from './messages.ts'
import { pack } from './packing.ts'
import type { Primitives } from './primitives.ts'
import { checkRoster } from './roster.ts'
import type { SignedRounds } from './signed-rounds.ts'
import { split } from './shamir.ts'
import { checkUpdateLength } from './update.ts'
import type { UpdateSource } from './update.ts'

/** Secrets of one round; made anew for each. */
export interface RoundSecrets {
  /** Of the pairwise masks. */
  readonly s: KeyPair
  /** Of the channels. */
  readonly c: KeyPair
  /** Seed of the self mask, 32 bytes. */
  readonly b: Uint8Array
  /** 16 bytes. */
  readonly nonce: Uint8Array
}

export interface ClientNeeds {
  readonly crypto: Primitives
  /** The coefficient of x^k, k = 1 .. t-1, of the polynomial that hides s or b: 32 fresh random bytes. */
  readonly coefficient: (kind: 'S' | 'B', position: number, k: number) => Uint8Array
  readonly signedRounds: SignedRounds
  /** How the session follows from header and roster; another one than the protocol's is for published vectors. */
  readonly sessionId?: (crypto: Primitives, header: Uint8Array, roster: readonly Advertisement[]) => Uint8Array
}

export interface ClientInit {
  readonly header: RoundHeader
  /** Identities that the federation admits, this member's among them. */
  readonly members: readonly Uint8Array[]
  readonly identity: { readonly publicKey: Uint8Array; sign(message: Uint8Array): Uint8Array }
  readonly secrets: RoundSecrets
  readonly records: number
  /** Records that all survivors together have at least, or nothing is unmasked. */
  readonly minimumRecords: number
  readonly update: UpdateSource
  /** Standard deviation of the noise in the whole sum, integer units. @default 0 */
  readonly noise?: number
  /** @default complete */
  readonly graph?: GraphChoice
  /** Signatures under one set of survivors, before a share leaves. @default t of the header */
  readonly quorum?: number
}

export class SecureClient {
  /** R0: the first message. */
  readonly advertisement: Advertisement
  readonly #needs: ClientNeeds
  readonly #init: ClientInit
  readonly #header: Uint8Array
  #state: ClientState = { waitsFor: 'roster' }

  /** @throws EmptyInputError, ModulusError, ThresholdError, VectorLengthError: the plan or the update cannot be used */
  constructor(needs: ClientNeeds, init: ClientInit) {
    const { header, identity, secrets, records } = init
    inStage('advertise', () => {
      if (header.d === 0) throw new EmptyInputError('the model has no coordinate')
      checkSum(header, init.members.length, init.noise, holdersOf(init.graph ?? COMPLETE, init.members.length))
      checkUpdateLength(init.update, header.d)
    })
    this.#needs = needs
    this.#init = init
    this.#header = headerBytes(header)
    const entry = {
      identity: identity.publicKey,
      channelKey: secrets.c.publicKey,
      maskKey: secrets.s.publicKey,
      commitment: needs.crypto.sha256(secrets.b),
      nonce: secrets.nonce,
      records,
    }
    this.advertisement = { ...entry, signature: identity.sign(advertiseBytes(needs.crypto, this.#header, entry)) }
  }

  /** What comes next; `nothing` when the round is over for this member. */
  get waitsFor(): ClientState['waitsFor'] {
    return this.#state.waitsFor
  }

  /** R1. @throws what `checkRoster` throws, and WeakKeyError; then the round is over */
  roster(entries: readonly Advertisement[]): SharesMessage {
    return this.#guarded('roster', () => {
      this.#expect('roster')
      const { crypto } = this.#needs
      const { header, members, secrets } = this.#init
      const own = this.advertisement
      const roster = checkRoster(crypto, entries, { header: this.#header, members, t: header.t, own })
      const sid = (this.#needs.sessionId ?? sessionId)(crypto, this.#header, roster)
      const position = roster.findIndex(({ identity }) => equalBytes(identity, own.identity))
      const graph = createGraph(crypto, this.#init.graph ?? COMPLETE, roster.length, sid)
      const session: Session = { roster, sid, position, graph }
      const holders = graph.holders(position)
      const [channelsOut, channelsIn] = [new Map<number, Uint8Array>(), new Map<number, Uint8Array>()]
      const pairKeys = new Map<number, Uint8Array>()
      for (const peer of holders) {
        const { maskKey, channelKey } = roster[peer]!
        // Its own keys too: a member whose keys are of small order must not go on.
        const pair = pairKey(crypto, sid, secrets.s, { position: peer, publicKey: maskKey })
        const channel = channelKeys(crypto, sid, { ...secrets.c, position }, { position: peer, publicKey: channelKey })
        if (peer === position) continue
        pairKeys.set(peer, pair)
        channelsOut.set(peer, channel.out)
        channelsIn.set(peer, channel.in)
      }
      const shares = this.#split(session, holders.length)
      const sealed = holders.flatMap((to, rank): SealedShares[] => {
        const key = channelsOut.get(to)
        if (key === undefined) return []
        const plain = concat(u8(rank + 1), shares[rank]!.s, shares[rank]!.b)
        return [{ position: to, data: crypto.seal(key, plain, shareContext(sid, position, to)) }]
      })
      const kept = shares[holders.indexOf(position)]!
      this.#state = { waitsFor: 'ciphertexts', session, channelsIn, pairKeys, own: kept }
      return { sid, index: position, sealed }
    })
  }

  #split({ position }: Session, n: number): HeldShares[] {
    const { header, secrets } = this.#init
    const of = (kind: 'S' | 'B', secret: Uint8Array): Uint8Array[] => {
      const coefficients = Array.from({ length: header.t - 1 }, (_, k) =>
        this.#needs.coefficient(kind, position, k + 1),
      )
      return split(secret, n, header.t, coefficients).map(({ y }) => y)
    }
    const [s, b] = [of('S', secrets.s.secret), of('B', secrets.b)]
    return s.map((share, index) => ({ s: share, b: b[index]! }))
  }

  /**
   * R2. The packed masked vector in pieces, and what stands at its end; the next stage begins when it was read out.
   * @throws SurvivorsError, CiphertextError, ThresholdError; on reading NotFiniteError, OutOfBoundError
   */
  ciphertexts(sealed: readonly SealedShares[]): Generator<Uint8Array, MaskedTrailer> {
    return this.#guarded('ciphertexts', () => {
      const state = this.#expect('ciphertexts')
      const { session, channelsIn, pairKeys, own } = state
      const { crypto } = this.#needs
      const { sid, position } = session
      const held = openShares(crypto, session, channelsIn, sealed, this.#init.header.t)
      held.set(position, own)
      const masks = [...held.keys()].map((peer) => {
        const key = peer === position ? selfKey(crypto, sid, this.#init.secrets.b) : pairKeys.get(peer)!
        return { stream: maskStream(crypto, key), add: position <= peer }
      })
      this.#state = { waitsFor: 'upload', session, masks, held }
      return this.#upload(this.#state)
    })
  }

  *#upload(state: ClientState & { readonly waitsFor: 'upload' }): Generator<Uint8Array, MaskedTrailer> {
    const { crypto } = this.#needs
    const { header, update, identity } = this.#init
    const { session, held } = state
    try {
      const hash = crypto.hash()
      const piece = new Uint32Array(Math.min(header.d, PIECE))
      for (const { from, to } of pieces(header.d)) {
        const words = piece.subarray(0, to - from)
        inStage('upload', () => update.read(from, words))
        applyMasks(state.masks, words)
        reduceWords(words, header.bits)
        const bytes = pack(words, header.bits)
        hash.update(bytes)
        yield bytes
        inStage('upload', () => {
          if (this.#state !== state) throw new OrderError('the round went on before the vector was read out')
        })
      }
      const digest = hash.digest()
      this.#state = { waitsFor: 'survivors', session, held, digest }
      return { digest, signature: identity.sign(maskedBytes(session.sid, session.position, digest)) }
    } catch (error) {
      this.abort()
      throw error
    }
  }

  /**
   * R3. Signs exactly one set of survivors for this round, and keeps of each peer the one share that may leave.
   * @throws SurvivorsError, SignatureError, ThresholdError, MinimumRecordsError; ReplayError when a set was signed before
   */
  survivors(list: readonly Survivor[]): Consistency {
    return this.#guarded('survivors', () => {
      const { session, held, digest } = this.#expect('survivors')
      const { crypto } = this.#needs
      const { header, minimumRecords, identity } = this.#init
      const rules = { senders: held, digest, t: header.t, minimumRecords }
      const survivors = checkSurvivors(crypto, session, list, rules)
      const message = survivorsBytes(session.sid, survivors)
      const round = crypto.sha256(ascii('fl-secagg/1 round'), this.#header)
      if (!this.#needs.signedRounds.claim(round, crypto.sha256(message))) {
        throw new ReplayError('this member signed a set of survivors for this round before')
      }
      const reveal = new Map<number, RevealedShare>()
      for (const [owner, { s, b }] of held) {
        const lives = survivors.has(owner)
        reveal.set(owner, lives ? { kind: 'b', share: new Uint8Array(b) } : { kind: 's', share: new Uint8Array(s) })
      }
      eraseShares(held)
      this.#state = { waitsFor: 'consistency', session, survivors, reveal }
      return { position: session.position, signature: identity.sign(message) }
    })
  }

  /** R4. @throws SurvivorsError, SignatureError, ThresholdError; no share has left then */
  consistency(list: readonly Consistency[]): Reveal {
    return this.#guarded('consistency', () => {
      const { session, survivors, reveal } = this.#expect('consistency')
      const { quorum = this.#init.header.t } = this.#init
      checkBallots(this.#needs.crypto, session, list, { survivors, quorum })
      this.#state = { waitsFor: 'nothing', aborted: false }
      this.#eraseSecrets()
      return reveal
    })
  }

  /** Ends the round for this member; nothing more is answered. */
  abort(): void {
    if ('held' in this.#state) eraseShares(this.#state.held)
    this.#eraseSecrets()
    this.#state = { waitsFor: 'nothing', aborted: true }
  }

  #eraseSecrets(): void {
    const { s, c, b } = this.#init.secrets
    for (const secret of [s.secret, c.secret, b]) secret.fill(0)
  }

  #expect<E extends ClientEvent>(event: E): ClientState & { readonly waitsFor: E } {
    const state = this.#state
    if (state.waitsFor === event) return state as ClientState & { readonly waitsFor: E }
    const early = EVENTS.indexOf(event) > placeOf(state)
    throw early
      ? new OrderError(`"${event}" came while this member waits for "${state.waitsFor}"`)
      : new ReplayError(`"${event}" came again, or after the round was over for this member`)
  }

  #guarded<T>(stage: ClientEvent, action: () => T): T {
    try {
      return inStage(stage, action)
    } catch (error) {
      this.abort()
      throw error
    }
  }
}

function eraseShares(held: ReadonlyMap<number, HeldShares>): void {
  for (const { s, b } of held.values()) {
    s.fill(0)
    b.fill(0)
  }
}
