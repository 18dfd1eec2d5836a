/** One channel of the mesh protocol: what waits to be sent to one peer, and what it has told us so far. */
import type { Channel, Frame } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { MeshProtocolError } from './errors.ts'
import { batchedBytes, batchFrame, readBatch } from './gossip-batch.ts'
import type { AgedRecord } from './gossip-batch.ts'
import {
  answerFrame,
  digestFrames,
  goodbyeFrame,
  GOSSIP,
  questionFrame,
  readAge,
  readDigest,
  readSums,
  recordFrame,
  summaryFrame,
} from './gossip-wire.ts'
import {
  FEW_BUCKETS,
  FULL_MESH,
  LINK_BURST,
  LINK_RECORDS_PER_SECOND,
  MAX_BATCH_BYTES,
  MAX_DIGEST_ENTRIES,
  MAX_RECORD_BYTES,
} from './limits.ts'
import { newerThan } from './newer-than.ts'
import type { DigestEntry, RecordBook } from './record-book.ts'
import { recordId } from './records.ts'
import { bucketOf, differing } from './sums.ts'

export interface GossipLinkNeeds {
  readonly channel: Channel
  readonly clock: Clock
  readonly book: RecordBook
  /** Milliseconds since the author was heard; 0 for ourselves and who is connected. */
  readonly ageOf: (author: string) => number
  /** @returns false: it is forged, and the link is ended */
  readonly received: (bytes: Uint8Array, age: number, link: GossipLink) => boolean
  readonly farewell: (peer: string) => void
  /** All that is known may be told once more: it is long. */
  readonly mayTell: () => boolean
  /** Whether nobody was asked lately for all that is lacking of a bucket (sums.ts); then, that somebody is. */
  readonly mayAsk: (bucket: number) => boolean
  readonly asked: (buckets: readonly number[]) => void
}

export class GossipLink {
  readonly peer: string
  readonly closed: Promise<Error | undefined>
  readonly #needs: GossipLinkNeeds
  /** Ids of records, sent one at a time: a slow peer costs one entry a record, whatever the number of updates. */
  readonly #waiting = new Set<string>()
  readonly #messages: Frame[] = []
  readonly #tooFast: (records: number) => Promise<void> | undefined
  #pumping = false
  /** Entries of a digest whose last frame has not come. */
  #told: DigestEntry[] = []
  /** The other side has sent sums: it is not of the version before. */
  #speaksSums = false
  /** It takes several records in one frame. */
  #takesBatches = false
  /** It answers questions. */
  #answers = false
  /** Numbers of the last question, and of the last that was answered. */
  #questions = 0
  readonly #unanswered = new Map<number, () => void>()
  /** What goes out behind the records: a newer one stands for those before it. */
  #due: { question?: number; answer?: number } = {}

  constructor(needs: GossipLinkNeeds) {
    this.peer = needs.channel.remote
    this.closed = needs.channel.closed
    this.#needs = needs
    this.#tooFast = createPace(needs.clock)
    needs.channel.onFrame((message) => this.#onFrame(message))
    this.#enqueue(GOSSIP.records, [batchFrame([])])
    this.#enqueue(GOSSIP.answer, [answerFrame(0)])
    void this.closed.then(() => this.#answered(this.#questions))
  }

  /** The newest versions of these records go out when their turn comes. */
  push(...ids: readonly string[]): void {
    for (const id of ids) this.#waiting.add(id)
    void this.#pump()
  }

  /**
   * Resolves when the other side has taken the records that wait for it now, and this one those that waited there by then.
   * At once where it is of a version that does not tell; also when the link ends.
   */
  settled(): Promise<void> {
    if (!this.#answers) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#unanswered.set(++this.#questions, resolve)
    this.#due.question = this.#questions
    void this.#pump()
    return promise
  }

  #answered(number: number): void {
    for (const [asked, resolve] of this.#unanswered) {
      if (asked > number) continue
      this.#unanswered.delete(asked)
      resolve()
    }
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
    const entries = this.#needs.book.entries(of)
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
    if (!this.#waits(type)) this.#messages.push(...frames)
    void this.#pump()
  }

  #waits(type: number): boolean {
    return this.#messages.some((message) => message.type === type)
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
      this.#due = {}
    }
    this.#pumping = false
  }

  #next(): Frame | undefined {
    const message = this.#messages.shift()
    if (message !== undefined) return message
    const records: AgedRecord[] = []
    let bytes = 0
    for (const id of this.#waiting) {
      const record = this.#needs.book.get(id)
      bytes += record === undefined ? 0 : batchedBytes(record)
      if (records.length > 0 && bytes > MAX_BATCH_BYTES) break
      this.#waiting.delete(id)
      if (record !== undefined) records.push({ bytes: record.bytes, age: this.#needs.ageOf(record.author) })
      if (records.length > 0 && !this.#takesBatches) break
    }
    const [first] = records
    if (first === undefined) return this.#nextDue()
    return records.length > 1 ? batchFrame(records) : recordFrame(first.bytes, first.age)
  }

  #nextDue(): Frame | undefined {
    const { question, answer } = this.#due
    if (answer !== undefined) {
      delete this.#due.answer
      return answerFrame(answer)
    }
    delete this.#due.question
    return question === undefined ? undefined : questionFrame(question)
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
        this.#needs.received(message.payload, readAge(message.step), this)
        // Not reading on is what slows a flood down.
        return this.#tooFast(1)
      case GOSSIP.records:
        return this.#onBatch(message.payload)
      case GOSSIP.question:
        this.#due.answer = message.request
        void this.#pump()
        return this.#tooFast(1)
      case GOSSIP.answer:
        this.#answers = true
        this.#answered(message.request)
        return undefined
      case GOSSIP.goodbye:
        this.#needs.farewell(this.peer)
        return undefined
      default:
        // Of a later version.
        return undefined
    }
  }

  #onBatch(payload: Uint8Array): Promise<void> | undefined {
    this.#takesBatches = true
    const records = readBatch(payload)
    if (records === undefined) throw new MeshProtocolError(this.peer, 'its records are malformed')
    // What is behind a forged one is not worth its signature.
    for (const { bytes, age } of records) if (!this.#needs.received(bytes, age, this)) break
    return this.#tooFast(Math.max(1, records.length))
  }

  #onSummary({ digest, control }: Frame): void {
    const { book, mayTell } = this.#needs
    const sums = readSums(control)
    if (sums === undefined) {
      if (Buffer.compare(digest, book.hash()) !== 0 && mayTell()) this.#sendDigest(true)
      return
    }
    this.#speaksSums = true
    this.#ask(differing(sums, book.sums()), true)
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
    this.push(...newerThan(entries, book.entries(of)))
    if (!reply) return
    const lacking = entries.filter(([kind, key, author, version]) => version > book.version({ kind, author, key }))
    if (lacking.length === 0) return
    if (of === undefined) return this.#sendDigest(false)
    this.#ask([...new Set(lacking.map(([kind, key, author]) => bucketOf(recordId({ kind, author, key }))))], false)
  }

  /**
   * What is lacking of these buckets. Who lacks much asks one at a time: all would send it the same. It is taken for asked only
   * when the question goes out.
   * @param tells the other side is told all that there is of them, to be asked in turn
   */
  #ask(buckets: readonly number[], tells: boolean): void {
    const { mayAsk, mayTell, asked } = this.#needs
    const isMuch = buckets.length > FEW_BUCKETS
    const wanted = isMuch ? buckets.filter((bucket) => mayAsk(bucket)) : buckets
    if (wanted.length === 0 || this.#waits(GOSSIP.digest) || (tells && !mayTell())) return
    if (isMuch) asked(wanted)
    this.#sendDigest(tells, wanted)
  }
}

/** A promise to wait for when records come faster than the pace of a link. */
function createPace(clock: Clock): (records: number) => Promise<void> | undefined {
  let tokens = LINK_BURST
  let at = clock.now()
  return (records) => {
    const now = clock.now()
    tokens = Math.min(LINK_BURST, tokens + ((now - at) / 1000) * LINK_RECORDS_PER_SECOND) - records
    at = now
    return tokens >= 0 ? undefined : clock.sleep((-tokens / LINK_RECORDS_PER_SECOND) * 1000)
  }
}
