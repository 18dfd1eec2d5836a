/** One channel of the mesh protocol: what waits to be sent to one peer, and what it has told us so far. */
import type { Channel, Frame } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { MeshProtocolError } from './errors.ts'
import { digestFrames, goodbyeFrame, GOSSIP, readDigest, readSums, recordFrame, summaryFrame } from './gossip-wire.ts'
import { FULL_MESH, LINK_BURST, LINK_RECORDS_PER_SECOND, MAX_DIGEST_ENTRIES, MAX_RECORD_BYTES } from './limits.ts'
import type { DigestEntry, RecordBook } from './record-book.ts'
import { recordId } from './records.ts'
import { differing } from './sums.ts'

export interface GossipLinkNeeds {
  readonly channel: Channel
  readonly clock: Clock
  readonly book: RecordBook
  /** Milliseconds since the author was heard; 0 for ourselves and who is connected. */
  readonly ageOf: (author: string) => number
  readonly received: (bytes: Uint8Array, age: number, link: GossipLink) => void
  readonly farewell: (peer: string) => void
  /** All that is known may be told once more: it is long. */
  readonly mayTell: () => boolean
}

export class GossipLink {
  readonly peer: string
  readonly closed: Promise<Error | undefined>
  readonly #needs: GossipLinkNeeds
  /** Ids of records, sent one at a time: a slow peer costs one entry a record, whatever the number of updates. */
  readonly #waiting = new Set<string>()
  readonly #messages: Frame[] = []
  readonly #tooFast: () => Promise<void> | undefined
  #pumping = false
  /** Entries of a digest whose last frame has not come. */
  #told: DigestEntry[] = []
  /** The other side has sent sums: it is not of the version before. */
  #speaksSums = false

  constructor(needs: GossipLinkNeeds) {
    this.peer = needs.channel.remote
    this.closed = needs.channel.closed
    this.#needs = needs
    this.#tooFast = createPace(needs.clock)
    needs.channel.onFrame((message) => this.#onFrame(message))
  }

  /** The newest version of this record goes out when its turn comes. */
  push(id: string): void {
    this.#waiting.add(id)
    void this.#pump()
  }

  /** Asks whether both know the same. */
  compare(): void {
    const { book } = this.#needs
    // In a large mesh no two know the same at any moment: the hash would cost and say nothing.
    const hash = this.#speaksSums || book.size > FULL_MESH ? undefined : book.hash()
    this.#enqueue(GOSSIP.summary, [summaryFrame(hash, book.sums())])
  }

  /** The other side has something that was not taken when it came. */
  askAgain(): void {
    if (this.#speaksSums) this.compare()
    else this.#sendDigest(true)
  }

  #sendDigest(reply: boolean, of?: readonly number[]): void {
    const entries = this.#needs.book.entries(of === undefined ? undefined : new Set(of))
    this.#enqueue(GOSSIP.digest, digestFrames(entries, reply, of))
  }

  goodbye(): Promise<void> {
    return this.#needs.channel.send(goodbyeFrame()).catch(() => undefined)
  }

  close(): Promise<void> {
    return this.#needs.channel.close()
  }

  abort(why: string): void {
    this.#needs.channel.abort(new MeshProtocolError(this.peer, why))
  }

  /** One of a type waits at most: the next comparison makes up for what changes meanwhile. */
  #enqueue(type: number, frames: readonly Frame[]): void {
    if (!this.#messages.some((message) => message.type === type)) this.#messages.push(...frames)
    void this.#pump()
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (let message = this.#next(); message !== undefined; message = this.#next()) {
        await this.#needs.channel.send(message)
      }
    } catch {
      // `closed` tells: whoever keeps the links opens another.
      this.#waiting.clear()
      this.#messages.length = 0
    }
    this.#pumping = false
  }

  #next(): Frame | undefined {
    const message = this.#messages.shift()
    if (message !== undefined) return message
    for (const id of this.#waiting) {
      this.#waiting.delete(id)
      const record = this.#needs.book.get(id)
      if (record !== undefined) return recordFrame(record.bytes, this.#needs.ageOf(record.author))
    }
    return undefined
  }

  /** @throws MeshProtocolError, ControlError: what no weft sends ends the channel */
  #onFrame(message: Frame): Promise<void> | undefined {
    switch (message.type) {
      case GOSSIP.summary:
        this.#onSummary(message)
        return undefined
      case GOSSIP.digest:
        this.#onDigestPart(message.control)
        return undefined
      case GOSSIP.record:
        if (message.payload.length > MAX_RECORD_BYTES) throw new MeshProtocolError(this.peer, 'a record is too large')
        this.#needs.received(message.payload, message.step * 1000, this)
        // Not reading on is what slows a flood down.
        return this.#tooFast()
      case GOSSIP.goodbye:
        this.#needs.farewell(this.peer)
        return undefined
      default:
        // Of a later version.
        return undefined
    }
  }

  #onSummary({ digest, control }: Frame): void {
    const { book, mayTell } = this.#needs
    const sums = readSums(control)
    if (sums === undefined) {
      if (Buffer.compare(digest, book.hash()) !== 0 && mayTell()) this.#sendDigest(true)
      return
    }
    this.#speaksSums = true
    const buckets = differing(sums, book.sums())
    if (buckets.length > 0 && mayTell()) this.#sendDigest(true, buckets)
  }

  #onDigestPart(control: Uint8Array): void {
    const part = readDigest(control)
    if (part === undefined) throw new MeshProtocolError(this.peer, 'its digest is malformed')
    this.#told.push(...part.entries)
    if (this.#told.length > MAX_DIGEST_ENTRIES) throw new MeshProtocolError(this.peer, 'its digest is too long')
    if (!part.last) return
    const whole = this.#told
    this.#told = []
    this.#onDigest(whole, part.reply, part.of)
  }

  #onDigest(entries: readonly DigestEntry[], reply: boolean, of: readonly number[] | undefined): void {
    const { book } = this.#needs
    const theirs = new Map(entries.map(([kind, key, author, version]) => [recordId({ kind, author, key }), version]))
    for (const [kind, key, author, version] of book.entries(of === undefined ? undefined : new Set(of))) {
      const id = recordId({ kind, author, key })
      if (version > (theirs.get(id) ?? 0)) this.push(id)
    }
    const lacking = [...theirs].some(([id, version]) => version > book.version(id))
    if (reply && lacking) this.#sendDigest(false, of)
  }
}

/** A promise to wait for when records come faster than the pace of a link. */
function createPace(clock: Clock): () => Promise<void> | undefined {
  let tokens = LINK_BURST
  let at = clock.now()
  return () => {
    const now = clock.now()
    tokens = Math.min(LINK_BURST, tokens + ((now - at) / 1000) * LINK_RECORDS_PER_SECOND) - 1
    at = now
    return tokens >= 0 ? undefined : clock.sleep((-tokens / LINK_RECORDS_PER_SECOND) * 1000)
  }
}
