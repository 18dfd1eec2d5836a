/** The answers that clients can come back to: those under way, and for a short time those that have ended. */
import type { JournalEntry, StreamJournal, StreamRoute } from '../../peer/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import type { Clock, RandomSource } from '../../util/index.ts'
import { ShuttingDownError } from '../errors.ts'
import type { Exchange, Work } from '../exchange.ts'
import type { ApiLimits } from '../limits.ts'
import type { Asked } from './asked.ts'
import { Ended } from './ended.ts'
import { StreamExpiredError, StreamUnknownError } from './errors.ts'
import { REQUEST_ID_BYTES } from './event-id.ts'
import { EventLog } from './event-log.ts'
import type { LogBudget } from './event-log.ts'
import type { StreamKind } from './format.ts'
import { checkModel, digestOf } from './model-digest.ts'
import type { ManifestSource } from './model-digest.ts'
import { Stream } from './stream.ts'

export interface StreamsNeeds {
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly random: RandomSource
  readonly limits: ApiLimits
  readonly peer: ManifestSource
  /** Undefined: answers end with the process. */
  readonly journal: StreamJournal | undefined
}

export interface StreamRequest {
  readonly route: StreamRoute
  readonly kind: StreamKind
  readonly model: string
  readonly body: unknown
  readonly asked: Asked
  /** Seconds that it waits for a client that went away; undefined: as usual. */
  readonly resumeS: number | undefined
}

/** What is kept of an answer: itself, or how to compute it again. */
export type Kept =
  | { readonly kind: 'stream'; readonly stream: Stream }
  | { readonly kind: 'entry'; readonly entry: JournalEntry }

export class Streams {
  readonly #needs: StreamsNeeds
  readonly #budget: LogBudget
  readonly #streams = new Map<string, Stream>()
  readonly #ended: Ended
  readonly #forgetting = new Set<Promise<void>>()
  #closing = false

  constructor(needs: StreamsNeeds) {
    const { clock, limits } = needs
    this.#needs = needs
    this.#budget = { limit: limits.keptBytesInAll, used: 0 }
    this.#ended = new Ended({
      clock,
      limits,
      isFull: () => this.#budget.used > this.#budget.limit,
      drop: (id) => this.#streams.delete(id),
    })
  }

  /** Begins an answer, and streams it until its end or that of the client. @throws what the work throws */
  async open(exchange: Exchange, request: StreamRequest, work: Work): Promise<undefined> {
    const { restored } = request.asked
    if (restored === undefined) return this.#begin(exchange, request, work, { id: this.#newId(), after: 0 })
    await checkModel(this.#needs.peer, request.model, restored.digest)
    // Of two that come back at once the second finds what the first has begun.
    const begun = this.#streams.get(restored.id)
    if (begun !== undefined) return this.resume(exchange, begun, restored.after)
    this.#needs.telemetry.count('journal_restored')
    this.#needs.telemetry.count('streams_resumed')
    return this.#begin(exchange, request, work, restored)
  }

  /** Goes on with an answer. @throws StreamExpiredError, EventAheadError, EventForgottenError, and what the work failed with */
  async resume(exchange: Exchange, stream: Stream, after: number): Promise<undefined> {
    // Nobody came in time; what it computes with is being freed.
    if (stream.isCancelled) throw new StreamExpiredError()
    const { telemetry } = this.#needs
    const missed = stream.missedAfter(after)
    telemetry.count('streams_resumed')
    telemetry.count('events_replayed', missed)
    return stream.read(exchange, after)
  }

  /** @throws StreamUnknownError, StreamExpiredError */
  async find(id: string, owner: string, route?: StreamRoute): Promise<Kept> {
    if (!this.#streams.has(id) && this.#ended.hasExpired(id, owner)) throw new StreamExpiredError()
    const entry = this.#streams.has(id) ? undefined : await this.#needs.journal?.read(id)
    const stream = this.#streams.get(id)
    const facts = stream?.init ?? entry
    // A stranger is not even told that there is something.
    if (facts === undefined || facts.owner !== owner || (route !== undefined && facts.route !== route))
      throw new StreamUnknownError()
    if (stream !== undefined) return { kind: 'stream', stream }
    if (entry === undefined) throw new StreamUnknownError()
    return { kind: 'entry', entry }
  }

  /** Ends those that wait for a client; those that have one end with it. */
  close(): void {
    this.#closing = true
    for (const stream of this.#streams.values()) if (stream.isWaiting) stream.cancel(new ShuttingDownError())
    this.#ended.close()
  }

  /** Resolves when the disk has no journal of an answer that is complete. */
  async settled(): Promise<void> {
    await Promise.all(this.#forgetting)
  }

  #newId(): string {
    return Buffer.from(this.#needs.random.bytes(REQUEST_ID_BYTES)).toString('base64url')
  }

  #begin(
    exchange: Exchange,
    request: StreamRequest,
    work: Work,
    { id, after }: { readonly id: string; readonly after: number },
  ): Promise<undefined> {
    const { clock, telemetry, limits } = this.#needs
    const { asked, route, kind, resumeS } = request
    const { owner, restored } = asked
    const log = new EventLog(limits, this.#budget)
    const init = {
      id,
      owner,
      route,
      kind,
      resumeMs: resumeS === undefined ? limits.resumeMs : resumeS * 1000,
      restored: restored !== undefined,
      headMs: limits.waitCommentMs,
      journaled: restored === undefined ? this.#journal(id, request) : Promise.resolve(),
    }
    const stream = new Stream({ clock, telemetry, log, mayWait: () => this.#mayWait() }, init)
    this.#streams.set(id, stream)
    const reading = stream.read(exchange, after)
    void stream.run(work).then(() => this.#retire(stream, log))
    return reading
  }

  #mayWait(): boolean {
    const waiting = [...this.#streams.values()].filter((stream) => stream.isWaiting).length
    return !this.#closing && waiting < this.#needs.limits.waitingStreams
  }

  async #journal(id: string, { asked, route, body, model }: StreamRequest): Promise<void> {
    const { journal, peer } = this.#needs
    if (journal === undefined) return
    const { owner, given } = asked
    const digest = await digestOf(peer, model)
    await journal.write({ request: id, owner, route, body: JSON.stringify(body), given, digest })
  }

  /** The end of the work: what came of it stays for a while, for a client that lost the last of it. */
  #retire(stream: Stream, log: EventLog): void {
    const { id, owner, resumeMs } = stream.init
    const forget = (): void => {
      log.release()
      this.#removeJournal(stream)
    }
    if (this.#closing) {
      this.#streams.delete(id)
      // What is not whole is for the next start of this peer.
      if (stream.isWhole) forget()
    } else if (stream.isCancelled || !stream.isKnown || resumeMs === 0) {
      this.#streams.delete(id)
      if (stream.isKnown) this.#ended.expire(id, owner)
      forget()
    } else if (stream.isWorthRetrying && this.#needs.journal !== undefined) {
      // Who comes back has it computed again: after a restart the others may not have joined yet.
      this.#streams.delete(id)
      log.release()
    } else {
      const milliseconds = Math.max(this.#needs.limits.tailMs, resumeMs)
      this.#ended.keep({ id, owner, forget, forgetAtClose: stream.isWhole }, milliseconds)
    }
  }

  #removeJournal({ init }: Stream): void {
    const { journal } = this.#needs
    if (journal === undefined) return
    const removed = init.journaled.then(() => journal.remove(init.id)).finally(() => this.#forgetting.delete(removed))
    this.#forgetting.add(removed)
  }
}
