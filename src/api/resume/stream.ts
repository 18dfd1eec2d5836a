/**
 * An answer that outlives the connection it was asked over. The work writes events, which are numbered and kept; a
 * reader sends them to its client. While there is none the work stands still at its next event, and is ended when
 * nobody comes in time.
 */
import { WeftError } from '../../errors.ts'
import type { StreamRoute } from '../../peer/index.ts'
import type { Telemetry } from '../../telemetry/index.ts'
import { orAbort } from '../../util/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { ClientGoneError } from '../errors.ts'
import type { Exchange, Work } from '../exchange.ts'
import type { StreamWriter } from '../stream-writer.ts'
import { EventAheadError, EventForgottenError } from './errors.ts'
import type { EventLog } from './event-log.ts'
import { NUMBERING } from './format.ts'
import type { StreamKind } from './format.ts'
import { Reader, TAKEN_OVER } from './reader.ts'

export interface StreamNeeds {
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly log: EventLog
  /** May this one wait for its client too? */
  readonly mayWait: () => boolean
}

export interface StreamInit {
  readonly id: string
  readonly owner: string
  readonly route: StreamRoute
  readonly kind: StreamKind
  /** Milliseconds that it waits for a client that went away. */
  readonly resumeMs: number
  /** It is computed again: a client may have more events than there are yet. */
  readonly restored: boolean
  /** Milliseconds after which such a client gets a head, whatever comes: until then an error may have a status. */
  readonly headMs: number
  /** The request is on the disk, or will not be; never rejects. */
  readonly journaled: Promise<void>
}

type Outcome = { readonly kind: 'whole' } | { readonly kind: 'failed'; readonly error: unknown }

export class Stream {
  readonly init: StreamInit
  readonly #needs: StreamNeeds
  readonly #abort = new AbortController()
  readonly #headers: Map<string, string>
  #reader: Reader | null = null
  #outcome: Outcome | null = null
  /** A client has seen the id. */
  #known: boolean
  #changed: PromiseWithResolvers<void> = Promise.withResolvers()
  #cancelWait: CancelTimer | null = null
  #isJournaled = false

  constructor(needs: StreamNeeds, init: StreamInit) {
    this.#needs = needs
    this.init = init
    this.#known = init.restored
    this.#headers = new Map([['x-weft-request', init.id]])
  }

  get isWaiting(): boolean {
    return this.#cancelWait !== null
  }

  get isKnown(): boolean {
    return this.#known
  }

  get isWhole(): boolean {
    return this.#outcome?.kind === 'whole'
  }

  /** What the work ended with, where that may be otherwise another time. */
  get isWorthRetrying(): boolean {
    const outcome = this.#outcome
    return outcome?.kind === 'failed' && outcome.error instanceof WeftError && outcome.error.info.retryable === true
  }

  get isCancelled(): boolean {
    return this.#abort.signal.aborted
  }

  /** All is said, and a client that has event `after` has all of it. */
  isComplete(after: number): boolean {
    return this.isWhole && after === this.#needs.log.last
  }

  /** Events that a client lacks which has those up to `after`. @throws EventAheadError, EventForgottenError */
  missedAfter(after: number): number {
    const { log } = this.#needs
    // What is computed again may not be as far yet as it once was.
    if (after > log.last && (!this.init.restored || this.isWhole)) throw new EventAheadError(after, log.last)
    if (after + 1 < log.first) throw new EventForgottenError(after + 1)
    return Math.max(0, log.last - after)
  }

  /** Never rejects: the reader hears of errors, now or when it comes. */
  async run(work: Work): Promise<void> {
    try {
      await work(this.#exchange())
      this.#outcome = { kind: 'whole' }
    } catch (error) {
      this.#outcome = { kind: 'failed', error }
    }
    this.#stopWaiting()
    this.#wake()
  }

  cancel(reason: Error): void {
    this.#abort.abort(reason)
    this.#stopWaiting()
    this.#wake()
  }

  /**
   * Sends what follows event `after` until the end, or until the client goes or another reader comes.
   * @throws what the work failed with; ClientGoneError, ClientStalledError, EventAheadError
   */
  async read(exchange: Exchange, after: number): Promise<undefined> {
    const reader = new Reader(exchange, this.init.kind, after, this.#headers)
    this.#reader?.leave(TAKEN_OVER)
    this.#reader = reader
    this.#stopWaiting()
    this.#wake()
    const onAbort = (): void => {
      const reason = exchange.signal.reason as Error
      if (reason instanceof ClientGoneError) reader.leave(reason)
      else this.cancel(reason)
    }
    exchange.signal.addEventListener('abort', onAbort, { once: true })
    if (exchange.signal.aborted) onAbort()
    const cancelHead = this.init.restored
      ? this.#needs.clock.after(this.init.headMs, () => void this.#begin(reader))
      : () => undefined
    try {
      await this.#send(reader)
    } catch (error) {
      if (error !== TAKEN_OVER) throw error
      reader.begin().end()
    } finally {
      cancelHead()
      exchange.signal.removeEventListener('abort', onAbort)
      if (this.#reader === reader) this.#left(reader)
    }
    return undefined
  }

  async #send(reader: Reader): Promise<void> {
    const { log } = this.#needs
    for (;;) {
      const changed = this.#changed.promise
      const text = log.at(reader.next)
      if (text !== undefined) {
        await reader.orLeft(this.#begin(reader).write(text))
        reader.next += 1
        if (reader.next > log.last) this.#wake()
      } else if (reader.next <= log.last) throw new EventForgottenError(reader.next)
      else if (this.#outcome === null) await reader.orLeft(changed)
      else if (this.#outcome.kind === 'failed') throw this.#outcome.error
      else if (reader.next > log.last + 1) throw new EventAheadError(reader.next - 1, log.last)
      else return this.#begin(reader).end()
    }
  }

  #begin(reader: Reader): StreamWriter {
    this.#known = true
    return reader.begin()
  }

  /** Without a reader: another may come in time. */
  #left(reader: Reader): void {
    this.#reader = null
    if (this.#outcome !== null || this.isCancelled) return
    const { clock, telemetry, mayWait } = this.#needs
    const gone = reader.left ?? new ClientGoneError()
    if (!this.#known || this.init.resumeMs === 0 || !mayWait()) {
      this.cancel(gone)
      return
    }
    telemetry.count('streams_orphaned')
    this.#cancelWait = clock.after(this.init.resumeMs, () => this.cancel(gone))
  }

  #stopWaiting(): void {
    this.#cancelWait?.()
    this.#cancelWait = null
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** What the work sees: one client that never goes, until nobody has come back. */
  #exchange(): Exchange {
    let writer: StreamWriter | null = null
    return {
      signal: this.#abort.signal,
      header: (name, value) => {
        this.#headers.set(name, value)
        this.#reader?.header(name, value)
      },
      stream: () => {
        // Who has the id can come back: not before the request is on the disk.
        if (writer === null) void this.init.journaled.then(() => this.#beginFirst())
        writer ??= { write: (text) => this.#write(text), end: () => undefined }
        return writer
      },
      streaming: () => writer,
    }
  }

  /** Where a client is ahead of an answer that is computed again, an error may still have a status. */
  #beginFirst(): void {
    if (this.#reader !== null && this.#outcome === null && !this.init.restored) this.#begin(this.#reader)
  }

  async #write(text: string): Promise<void> {
    const { signal } = this.#abort
    const { log } = this.#needs
    signal.throwIfAborted()
    if (!this.#isJournaled) await orAbort(this.init.journaled, signal)
    this.#isJournaled = true
    const event = NUMBERING[this.init.kind](text, this.init.id, log.last + 1)
    if (event === null) {
      await this.#tell(text)
      return
    }
    log.append(event)
    this.#wake()
    while (!this.#isRead()) {
      await this.#changed.promise
      signal.throwIfAborted()
    }
    log.trim()
  }

  /** What passes by. Who reads nothing any more is found by the answer itself. */
  async #tell(text: string): Promise<void> {
    const reader = this.#reader
    // A client that has tokens already is not told again how their prompt went.
    const isAhead = reader !== null && reader.next > this.#needs.log.last + 1
    if (reader === null || (isAhead && this.init.kind === 'jsonl')) return
    await this.#begin(reader)
      .write(text)
      .catch(() => undefined)
  }

  #isRead(): boolean {
    return this.#reader !== null && this.#reader.next > this.#needs.log.last
  }
}
