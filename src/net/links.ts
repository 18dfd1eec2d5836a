/**
 * The connections of this peer: each is greeted, then joined or turned away; of two that crossed one stays. Nothing
 * but the greeting is served before.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { WeftError } from '../errors.ts'
import type { Logger } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import type { Admission } from './admission.ts'
import { ASK_AGAIN_MS, HELLO_WAIT_MS, MAX_EARLY_STREAMS, MAX_LINKS_PER_PEER, REFUSAL_LINGER_MS } from './constants.ts'
import { DISCOVERY_ERRORS, HelloFailedError, NotAdmittedError, OwnIdentityError } from './discovery-errors.ts'
import { PendingApprovalError, PolicyKeepsOutError, TooManyNewcomersError } from './discovery-errors.ts'
import { greet } from './hello-stream.ts'
import { HELLO_PROTOCOL, NONCE_BYTES } from './hello.ts'
import { choose, isRelayed } from './link-view.ts'
import type { About, HelloInit, HelloOutcome, Verdict, Versions } from './hello.ts'

export interface Link {
  readonly connection: Connection
  readonly peer: string
  readonly openedAt: number
  state: 'greeting' | 'joined' | 'refused' | 'closed'
  outcome: HelloOutcome | undefined
  /** Whether it joined, once that is known. */
  readonly settled: Promise<boolean>
}

interface LinkEntry extends Link {
  readonly settle: (joined: boolean) => void
  greeted: boolean
  early: number
  /** Streams that it has, or had, in place of a greeting. */
  asking: readonly Stream[]
  /** Whose person has still to decide. */
  readonly asks: { here: boolean; there: boolean }
}

export interface LinksNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  readonly admission: Admission
  /** A peer that the membership does not know greets: what it knows may be fetched before it is judged. */
  acquaint(link: Link, about: About): Promise<void>
  /** Whether a peer still answers on a link: tells a restart from a copied identity. */
  answers(link: Link): Promise<boolean>
  joined(link: Link): void
  left(link: Link): void
  pending(peer: string, name: string): void
  refused(link: Link, error: Error): void
}

export interface LinksInit {
  readonly self: string
  readonly versions: Versions
  readonly proofKey: Uint8Array
  /** Nothing is said of this peer to one that is turned away (`HelloInit.veiled`). */
  readonly veiled: boolean
  about(peer: string): About
}

export class Links {
  readonly #needs: LinksNeeds
  readonly #init: LinksInit
  readonly #all = new Map<Connection, LinkEntry>()

  constructor(needs: LinksNeeds, init: LinksInit) {
    this.#needs = needs
    this.#init = init
  }

  /** A connection whose peer id is proven; called before any of its streams appears. */
  opened(connection: Connection): void {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const peer = connection.remotePeer.toString()
    const openedAt = this.#needs.clock.now()
    const rest = { settled: promise, settle: resolve, greeted: false, early: 0, asking: [], outcome: undefined }
    const asks = { here: false, there: false }
    const link: LinkEntry = { connection, peer, openedAt, state: 'greeting', asks, ...rest }
    this.#all.set(connection, link)
    if (connection.direction === 'outbound') void this.#dialHello(link)
    else {
      this.#awaitGreeting(link)
    }
  }

  #awaitGreeting(link: LinkEntry): void {
    this.#needs.clock.after(HELLO_WAIT_MS, () => {
      if (link.state !== 'greeting' || link.greeted) return
      // By their state: one may have ended before anybody could hear of it.
      link.asking = link.asking.filter(({ status }) => status === 'open' || status === 'closing')
      if (link.asking.length > 0) this.#awaitGreeting(link)
      else this.#refuse(link, silent(link.peer))
    })
  }

  /** Whoever asks for something in place of greeting is not cut off while it does; the one that serves it has a limit of its own. */
  waitFor(link: Link, stream: Stream): void {
    const entry = this.#all.get(link.connection)
    if (entry !== undefined) entry.asking = [...entry.asking, stream]
  }

  closed(connection: Connection): void {
    const link = this.#all.get(connection)
    if (link === undefined) return
    this.#all.delete(connection)
    const { state } = link
    link.state = 'closed'
    link.settle(false)
    if (this.of(link.peer).length === 0) this.#needs.admission.gone(link.peer)
    if (state === 'joined') this.#needs.left(link)
  }

  /** The listener's side of the greeting. */
  hello(stream: Stream, connection: Connection): void {
    const link = this.#all.get(connection)
    if (link === undefined || link.greeted || connection.direction !== 'inbound')
      stream.abort(new HelloFailedError(connection.remotePeer.toString(), 'it greets twice'))
    else void this.#greet(link, stream)
  }

  /** Whether a stream of this connection may be served; waits for a greeting that is under way. */
  async admits(connection: Connection): Promise<boolean> {
    const link = this.#all.get(connection)
    if (link === undefined || link.state !== 'greeting') return link?.state === 'joined'
    if (link.early >= MAX_EARLY_STREAMS) return false
    link.early++
    const joined = await link.settled
    link.early--
    return joined
  }

  of(peer: string): Link[] {
    return [...this.#all.values()].filter((link) => link.peer === peer)
  }

  /** The connection to use: a direct one; the newest, of two that crossed the one that both sides choose. */
  primary(peer: string): Link | undefined {
    return this.direct(peer) ?? choose(this.of(peer).filter((link) => link.state === 'joined'))
  }

  /** The same among those that no relay is part of. */
  direct(peer: string): Link | undefined {
    return choose(this.of(peer).filter((link) => link.state === 'joined' && !isRelayed(link)))
  }

  joined(): Link[] {
    const peers = new Set([...this.#all.values()].map((link) => link.peer))
    return [...peers].map((peer) => this.primary(peer)).filter((link) => link !== undefined)
  }

  link(connection: Connection): Link | undefined {
    return this.#all.get(connection)
  }

  /** Ends all connections of a peer. */
  drop(peer: string, error: Error): void {
    for (const link of this.of(peer)) this.#refuse(link as LinkEntry, error)
  }

  /** Ends all connections of a peer without another word: what is under way is lost. */
  cut(peer: string, error: Error): void {
    for (const link of this.of(peer)) {
      if (link.state === 'greeting') this.#refuse(link as LinkEntry, error)
      link.connection.abort(error)
    }
  }

  /** Peers with a connection, whatever came of it. */
  peers(): string[] {
    return [...new Set([...this.#all.values()].map((link) => link.peer))]
  }

  /** Ends what waits; the connections are ended by the node. */
  stop(): void {
    for (const link of this.#all.values()) link.settle(false)
  }

  async #dialHello(link: LinkEntry): Promise<void> {
    try {
      const signal = AbortSignal.timeout(HELLO_WAIT_MS)
      await this.#greet(link, await link.connection.newStream(HELLO_PROTOCOL, { signal }))
    } catch (error) {
      this.#refuse(link, new HelloFailedError(link.peer, (error as Error).message))
    }
  }

  async #greet(link: LinkEntry, stream: Stream): Promise<void> {
    link.greeted = true
    try {
      await greet(this.#needs.clock, stream, this.#conversation(link))
    } catch (error) {
      if (link.state !== 'greeting') return
      this.#refuse(link, error instanceof WeftError ? error : new HelloFailedError(link.peer, (error as Error).message))
    }
  }

  #conversation(link: LinkEntry): Omit<HelloInit, 'now'> {
    const { admission, random } = this.#needs
    return {
      role: link.connection.direction === 'outbound' ? 'dialler' : 'listener',
      self: this.#init.self,
      remote: link.peer,
      versions: this.#init.versions,
      proofKey: this.#init.proofKey,
      nonce: random.bytes(NONCE_BYTES),
      about: this.#init.about(link.peer),
      veiled: this.#init.veiled,
      judge: (outcome) => this.#judge(link, outcome),
      decision: async () => {
        const decided = await admission.decision(link.peer)
        this.#asks(link, 'here', false)
        if (decided.verdict === 'refused') this.#refuse(link, new NotAdmittedError(link.peer, 'a person here said no'))
        return decided
      },
      heard: (verdict) => this.#heard(link, verdict),
      joined: (outcome) => this.#join(link, outcome),
    }
  }

  async #judge(link: LinkEntry, outcome: HelloOutcome): Promise<Verdict> {
    const others = this.of(link.peer).filter((other) => other.state === 'joined')
    for (const old of others) {
      if (old.outcome?.about.instance === outcome.about.instance) continue
      // another run of the same identity: a restart whose old connection is dead, or a copied home
      if (await this.#needs.answers(old)) return this.#turnAway(link, new OwnIdentityError(link.peer))
      old.connection.abort(new HelloFailedError(link.peer, 'it was started again'))
    }
    if (others.length >= MAX_LINKS_PER_PEER) return this.#turnAway(link, new TooManyNewcomersError(link.peer))
    await this.#needs.acquaint(link, outcome.about)
    const verdict = this.#needs.admission.judge(link.peer)
    if (verdict.verdict === 'refused') return this.#turnAway(link, this.#whyNot(link.peer, verdict.code))
    if (verdict.verdict === 'pending') {
      this.#asks(link, 'here', true)
      this.#needs.pending(link.peer, outcome.about.name)
    }
    return verdict
  }

  #whyNot(peer: string, code: string): WeftError {
    const rule = code === PolicyKeepsOutError.info.code ? this.#needs.admission.keptOutBy(peer) : undefined
    return rule === undefined ? errorOf(code, peer, 'this peer') : new PolicyKeepsOutError(peer, rule)
  }

  #turnAway(link: LinkEntry, error: WeftError): Verdict {
    this.#refuse(link, error)
    return { verdict: 'refused', code: error.code }
  }

  #heard(link: LinkEntry, verdict: Verdict): void {
    this.#asks(link, 'there', verdict.verdict === 'pending')
    if (verdict.verdict === 'refused') this.#refuse(link, errorOf(verdict.code, 'this peer', 'the other side'))
  }

  /** What waits for a person is on show for as long as it does, with the side that is asked; this one comes first. */
  #asks(link: LinkEntry, side: 'here' | 'there', waits: boolean): void {
    const before = link.asks.here || link.asks.there
    link.asks[side] = waits
    this.#tellAsking(link)
    if (!before && waits) this.#remind(link)
  }

  #tellAsking(link: LinkEntry): void {
    const { here, there } = link.asks
    if (link.state !== 'greeting' || !(here || there)) return
    this.#needs.refused(link, new PendingApprovalError(link.peer, here ? 'here' : 'there'))
  }

  #remind(link: LinkEntry): void {
    this.#needs.clock.after(ASK_AGAIN_MS, () => {
      if (link.state !== 'greeting') return
      this.#tellAsking(link)
      this.#remind(link)
    })
  }

  #join(link: LinkEntry, outcome: HelloOutcome): void {
    if (link.state !== 'greeting') return
    link.outcome = outcome
    link.state = 'joined'
    link.settle(true)
    this.#needs.joined(link)
    // one side alone ends the surplus of two that crossed, so that they do not end both
    if (this.#init.self < link.peer) this.#needs.clock.after(REFUSAL_LINGER_MS, () => this.#endSurplus(link.peer))
  }

  #endSurplus(peer: string): void {
    const keep = this.primary(peer)
    for (const link of this.of(peer)) {
      // a relayed one ends when it is not used any more
      if (link.state !== 'joined' || link === keep || isRelayed(link)) continue
      void link.connection.close().catch((error: Error) => link.connection.abort(error))
    }
  }

  /** Notes why, and ends the connection when the other side has had the time to read it. */
  #refuse(link: LinkEntry, error: Error): void {
    if (link.state === 'closed') return
    const wasGreeting = link.state === 'greeting'
    if (wasGreeting) {
      link.state = 'refused'
      link.settle(false)
      this.#needs.refused(link, error)
    }
    const end = (): void => void link.connection.close().catch((reason: Error) => link.connection.abort(reason))
    this.#needs.clock.after(wasGreeting ? REFUSAL_LINGER_MS : 0, end)
  }
}

function silent(peer: string): Error {
  return new HelloFailedError(peer, `it said nothing for ${HELLO_WAIT_MS / 1000} s`)
}

/** The error that a code stands for; a code that is not for greetings counts as a plain no. */
function errorOf(code: string, whom: string, by: string): WeftError {
  const info = DISCOVERY_ERRORS.find((one) => one.code === code)
  if (info === undefined || info === NotAdmittedError.info) return new NotAdmittedError(whom, `${by} said no`)
  return new WeftError(info, `${whom}: ${info.title.toLowerCase()}`, { why: `${by} said so` })
}
