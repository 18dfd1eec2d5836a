/** One channel of the membership protocol: heads, questions and entries between two members. */
import type { Channel, Frame } from '../../net/index.ts'
import type { Cluster } from '../../trust/index.ts'
import { EntryChainError } from '../../trust/index.ts'
import { MeshProtocolError } from '../errors.ts'
import { entryFrames, readEntries } from './entry-frames.ts'
import { askFrame, headFrame, leaveFrame, NEWS, readAsk, readHead, readLeave } from './wire.ts'

/** Entries that may come in answer to one question. More than a log has, at their usual size. */
const MAX_ANSWER_BYTES = 256 << 20

export interface NewsNeeds {
  readonly cluster: Cluster
  /** Entries came and stand. */
  merged(from: string, entries: number): void
  /** A member asks to be taken out. */
  leaves(peer: string, reason: string): void
  /** A newer word of an admin came. */
  beat(from: string): void
  failed(peer: string, error: Error): void
}

export class NewsChannel {
  readonly peer: string
  readonly #needs: NewsNeeds
  readonly #channel: Channel
  /** Of an answer whose last frame has not come. */
  #coming: Uint8Array[] = []
  #bytes = 0
  #asked = false
  /** Resolves when this side has what the other one told of. */
  #caughtUp = Promise.withResolvers<void>()

  constructor(needs: NewsNeeds, channel: Channel) {
    this.#needs = needs
    this.#channel = channel
    this.peer = channel.remote
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
    this.#send(headFrame(cluster.head, cluster.beat()))
  }

  /** Asks for what is after the newest entry that both have. */
  ask(): void {
    if (this.#asked) return
    this.#asked = true
    this.#send(askFrame(this.#needs.cluster.log.locator()))
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

  #send(message: Frame): void {
    this.#channel.send(message).catch(() => undefined)
  }

  /** What no weft sends ends the channel. @throws MeshProtocolError, ControlError */
  async #onFrame(message: Frame): Promise<void> {
    switch (message.type) {
      case NEWS.head:
        return this.#onHead(message)
      case NEWS.ask:
        return this.#answer(readAsk(this.peer, message))
      case NEWS.entries:
        return this.#onEntries(message)
      case NEWS.removed:
        return this.#merge(readEntries(this.peer, message).entries)
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
    const isKnown = cluster.log.common([head]) !== undefined
    if (!isKnown) this.ask()
    else {
      this.#caughtUp.resolve()
      // it is behind, and does not know it
      if (head.height < cluster.head.height) this.tell()
    }
    if (beat !== undefined && cluster.hearBeat(beat)) this.#needs.beat(this.peer)
  }

  async #answer(locator: Parameters<Cluster['log']['common']>[0]): Promise<void> {
    const { log } = this.#needs.cluster
    const common = log.common(locator)
    if (common === undefined) throw new MeshProtocolError(this.peer, 'it is of another cluster')
    for (const one of entryFrames(NEWS.entries, log.entries(common.height + 1, log.head.height)))
      await this.#channel.send(one)
  }

  #onEntries(message: Frame): void {
    if (!this.#asked) throw new MeshProtocolError(this.peer, 'it sends entries that nobody asked for')
    const { entries, last } = readEntries(this.peer, message)
    this.#coming.push(...entries)
    this.#bytes += message.payload.length
    if (this.#bytes > MAX_ANSWER_BYTES) throw new MeshProtocolError(this.peer, 'its answer is too long')
    if (!last) return
    const whole = this.#coming.splice(0)
    this.#asked = false
    this.#bytes = 0
    this.#merge(whole)
    this.#caughtUp.resolve()
  }

  #merge(entries: readonly Uint8Array[]): void {
    const { cluster } = this.#needs
    try {
      const { added } = cluster.merge(entries)
      this.#needs.merged(this.peer, added.length)
    } catch (error) {
      this.#needs.failed(this.peer, error as Error)
      // what another thread of this peer has taken in meanwhile is no fault of the sender
      if (!(error instanceof EntryChainError)) throw error
    }
  }
}
