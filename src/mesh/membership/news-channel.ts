/**
 * One channel of the membership protocol: heads, questions and entries between two members. While a greeting is under way
 * the other side may be anybody: whom this side's log does not admit is asked, and told nothing.
 */
import type { Channel, Frame } from '../../net/index.ts'
import type { Certificate, Cluster, LogHead } from '../../trust/index.ts'
import { EntryChainError, readCertificate } from '../../trust/index.ts'
import { MeshProtocolError } from '../errors.ts'
import { entryFrames, readEntries } from './entry-frames.ts'
import { createTokenBucket } from '../../util/index.ts'
import type { Clock } from '../../util/index.ts'
import {
  headFrame,
  headsFrame,
  lackingFrame,
  leaveFrame,
  NEWS,
  readHead,
  readHeads,
  readLacking,
  readLeave,
  whichFrame,
} from './wire.ts'

/** Entries that may come in answer to one question. More than a log has, at their usual size. */
const MAX_ANSWER_BYTES = 256 << 20
/** The same from one that is not known: thousands of changes among some dozen members. Whoever is further behind asks a member. */
const MAX_STRANGER_BYTES = 8 << 20
/** Questions of one member that are answered in a second; the answer to a later one has all that came meanwhile. */
const ANSWERS_PER_SECOND = 8

export interface NewsNeeds {
  readonly cluster: Cluster
  readonly clock: Clock
  /** Entries came and stand. */
  merged(from: string, entries: number): void
  /** A member asks to be taken out. */
  leaves(peer: string, reason: string): void
  /** A newer word of an admin came. */
  beat(from: string): void
  failed(peer: string, error: Error): void
  /** Certificates came that were not known. */
  certified(from: string, all: readonly Certificate[]): void
  /** One came that does not hold here, by the clock or by the log. */
  uncertified(why: 'over' | 'waits'): void
}

export class NewsChannel {
  readonly peer: string
  readonly #needs: NewsNeeds
  readonly #channel: Channel
  /** Of an answer whose last frame has not come. */
  #coming: Uint8Array[] = []
  #bytes = 0
  #asked = false
  #askedWhich = false
  #merging = false
  /** The newest head that was heard while entries were taken in. */
  #later: LogHead | undefined
  readonly #answers: ReturnType<typeof createTokenBucket>
  /** Resolves when this side has what the other one told of. */
  #caughtUp = Promise.withResolvers<void>()

  constructor(needs: NewsNeeds, channel: Channel) {
    this.#needs = needs
    this.#channel = channel
    this.peer = channel.remote
    this.#answers = createTokenBucket(needs.clock, ANSWERS_PER_SECOND)
    channel.onFrame((message) => this.#onFrame(message))
    void channel.closed.then(() => this.#caughtUp.resolve())
  }

  get closed(): Promise<Error | undefined> {
    return this.#channel.closed
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise
  }

  tell(): void {
    const { cluster } = this.#needs
    if (this.#mayKnow()) this.#send(headFrame(cluster.head, cluster.beat()))
  }

  /** Asks for what is after the newest entry that both have; of a stranger first which it has. */
  ask(): void {
    if (this.#asked || this.#askedWhich) return
    if (this.#mayKnow()) this.#askFor(this.#needs.cluster.log.locator())
    else {
      this.#askedWhich = true
      this.#send(whichFrame())
    }
  }

  /** Gives this peer's certificate and the other side's, and asks for those that are lacking here. */
  exchange(): void {
    const { certificates, self } = this.#needs.cluster
    this.certify([self, this.peer].flatMap((peer) => certificates.of(peer) ?? []))
    const lacking = certificates.lacking()
    if (lacking.length > 0 && this.#mayKnow()) this.#send(lackingFrame(lacking))
  }

  certify(all: readonly Certificate[]): void {
    if (all.length === 0 || !this.#mayKnow()) return
    const bytes = all.map((one) => one.bytes)
    for (const one of entryFrames(NEWS.certificates, bytes)) this.#send(one)
  }

  /** The last word to a peer that an entry takes out. */
  async dismiss(entry: Uint8Array): Promise<void> {
    for (const one of entryFrames(NEWS.removed, [entry])) await this.#channel.send(one)
  }

  async leave(reason: string): Promise<void> {
    await this.#channel.send(leaveFrame(reason))
  }

  close(): void {
    void this.#channel.close().catch(() => undefined)
  }

  #askFor(heads: readonly LogHead[]): void {
    this.#asked = true
    this.#send(headsFrame(NEWS.ask, heads))
  }

  /** Asked each time: what was true when the channel was opened may not be any more. */
  #mayKnow(): boolean {
    return this.#needs.cluster.membership.admits(this.peer, 'membership')
  }

  #send(message: Frame): void {
    this.#channel.send(message).catch(() => undefined)
  }

  /** What no weft sends ends the channel. @throws MeshProtocolError, ControlError */
  async #onFrame(message: Frame): Promise<void> {
    switch (message.type) {
      case NEWS.head:
        return this.#onHead(message)
      case NEWS.ask:
        return this.#answer(readHeads(this.peer, message))
      case NEWS.which:
        return this.#answerWhich()
      case NEWS.heads:
        return this.#onHeads(readHeads(this.peer, message))
      case NEWS.entries:
        return this.#onEntries(message)
      case NEWS.removed:
        return this.#merge(readEntries(this.peer, message).entries)
      case NEWS.certificates:
        return this.#onCertificates(message)
      case NEWS.lacking:
        return this.#answerLacking(readLacking(this.peer, message))
      case NEWS.leave:
        return this.#needs.leaves(this.peer, readLeave(this.peer, message))
      default:
        // of a later version
        return undefined
    }
  }

  #onHead(message: Frame): void {
    const { cluster } = this.#needs
    const { beat, ...head } = readHead(this.peer, message)
    // a stranger's heads are asked for, with type 6
    if (!this.#mayKnow()) return
    if (this.#merging) this.#later = head
    else this.#hear(head)
    if (beat !== undefined && cluster.hearBeat(beat, this.peer)) this.#needs.beat(this.peer)
  }

  #hear(head: LogHead): void {
    const { cluster } = this.#needs
    const isKnown = cluster.log.common([head]) !== undefined
    if (cluster.log.isOutdone(head.hash)) this.#caughtUp.resolve()
    else if (!isKnown) this.ask()
    else {
      this.#caughtUp.resolve()
      // it is behind, and does not know it
      if (head.height < cluster.head.height) this.tell()
    }
  }

  async #answer(locator: readonly LogHead[]): Promise<void> {
    await this.#answers.take(1)
    this.#refuseStrangers()
    const { log } = this.#needs.cluster
    const common = log.common(locator)
    if (common === undefined) throw new MeshProtocolError(this.peer, 'it is of another cluster')
    for (const one of entryFrames(NEWS.entries, log.entries(common.height + 1, log.head.height)))
      await this.#channel.send(one)
  }

  async #answerWhich(): Promise<void> {
    await this.#answers.take(1)
    this.#refuseStrangers()
    await this.#channel.send(headsFrame(NEWS.heads, this.#needs.cluster.log.locator()))
  }

  /** Of its own heads it hears which one is known here, and of ours none. */
  #onHeads(heads: readonly LogHead[]): void {
    if (!this.#askedWhich || this.#asked) throw new MeshProtocolError(this.peer, 'it sends heads that nobody asked for')
    const common = this.#needs.cluster.log.common(heads)
    if (common === undefined) throw new MeshProtocolError(this.peer, 'it is of another cluster')
    this.#askFor([common])
  }

  #refuseStrangers(): void {
    if (!this.#mayKnow()) throw new MeshProtocolError(this.peer, 'it is no member, and is told nothing of the log')
  }

  async #onEntries(message: Frame): Promise<void> {
    if (!this.#asked) throw new MeshProtocolError(this.peer, 'it sends entries that nobody asked for')
    const { entries, last } = readEntries(this.peer, message)
    this.#coming.push(...entries)
    this.#bytes += message.payload.length
    if (this.#bytes > (this.#mayKnow() ? MAX_ANSWER_BYTES : MAX_STRANGER_BYTES))
      throw new MeshProtocolError(this.peer, 'its answer is too long')
    if (!last) return
    const whole = this.#coming.splice(0)
    this.#asked = false
    this.#bytes = 0
    this.#merging = true
    try {
      await this.#merge(whole)
    } finally {
      this.#merging = false
    }
    const later = this.#later
    this.#later = undefined
    if (later !== undefined) this.#hear(later)
    this.#caughtUp.resolve()
  }

  async #answerLacking(peers: readonly string[]): Promise<void> {
    await this.#answers.take(1)
    this.certify(peers.flatMap((peer) => this.#needs.cluster.certificates.of(peer) ?? []))
  }

  #onCertificates(message: Frame): void {
    const { cluster } = this.#needs
    const { entries } = readEntries(this.peer, message)
    if (!this.#mayKnow()) return
    const news = entries.flatMap((bytes) => {
      const heard = cluster.certificates.hear(bytes)
      if (heard === 'none') throw new MeshProtocolError(this.peer, 'what it sends as a certificate is none')
      if (heard === 'over' || heard === 'waits') this.#needs.uncertified(heard)
      const one = heard === 'news' ? readCertificate(bytes) : undefined
      return one === undefined ? [] : [one]
    })
    if (news.length > 0) this.#needs.certified(this.peer, news)
  }

  async #merge(entries: readonly Uint8Array[]): Promise<void> {
    const { cluster } = this.#needs
    try {
      const { added } = await cluster.merge(entries)
      this.#needs.merged(this.peer, added.length)
    } catch (error) {
      this.#needs.failed(this.peer, error as Error)
      // what another thread of this peer has taken in meanwhile is no fault of the sender
      if (!(error instanceof EntryChainError)) throw error
    }
  }
}
