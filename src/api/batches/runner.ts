/**
 * Computes batches, line by line, in the batch lane of every stage. Each batch has its turn for the few places that there are,
 * so that a long one does not hold up a short one; what has a result is never computed again, whatever ended the process.
 */
import type { Batch, BatchBook, BatchEndpoint } from '../../peer/index.ts'
import type { Logger, Telemetry } from '../../telemetry/index.ts'
import { orAbort } from '../../util/index.ts'
import type { CancelTimer, Clock } from '../../util/index.ts'
import { parseLines } from './lines.ts'
import type { BatchLine, LineLimits } from './lines.ts'

/** Lines at once: enough that rows of several share a run, few enough that people find room. */
const PLACES = 4
/** Where a line is told to come again. */
const FIRST_PAUSE_MS = 500
const MOST_PAUSE_MS = 30_000
/** Came too early, or nobody can compute it now: not the fault of the line. */
const COME_AGAIN = new Set([429, 502, 503, 504])
const DAY_MS = 86_400_000

export interface LineAnswer {
  readonly status: number
  /** JSON, parsed. */
  readonly body: unknown
}

export interface BatchRunnerNeeds {
  readonly clock: Clock
  readonly book: BatchBook
  readonly limits: LineLimits
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly logger: Pick<Logger, 'warn'>
  /** Whether a key still holds: what it asked for ends with it. */
  holds(key: string): Promise<boolean>
  /** Letters of an id. */
  id(): string
}

/** Asks the endpoint; rejects when the signal fires. */
export type Ask = (
  endpoint: BatchEndpoint,
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<LineAnswer>

export class BatchRunner {
  readonly #needs: BatchRunnerNeeds
  readonly #running = new Map<string, { readonly abort: AbortController; readonly over: Promise<void> }>()
  readonly #places: (() => void)[] = []
  readonly #stop = new AbortController()
  #cancelSweep: CancelTimer = () => undefined
  #free = PLACES
  #ask: Ask | undefined

  constructor(needs: BatchRunnerNeeds) {
    this.#needs = needs
  }

  /** Goes on with what an earlier life of the process left. */
  start(ask: Ask): void {
    if (this.#ask !== undefined) return
    this.#ask = ask
    for (const batch of this.#needs.book.unfinished()) {
      // Whoever cancelled it has been told so, or was about to be.
      if (batch.status === 'cancelling') this.#end(batch.id, 'cancelled')
      else this.begin(batch)
    }
    this.#sweepLater()
  }

  begin(batch: Batch): void {
    if (this.#ask === undefined || this.#stop.signal.aborted || this.#running.has(batch.id)) return
    const abort = new AbortController()
    const over = this.#run(batch, AbortSignal.any([abort.signal, this.#stop.signal]))
      .catch((error: unknown) => this.#needs.logger.warn({ err: error, batch: batch.id }, 'a batch was put off'))
      .finally(() => this.#running.delete(batch.id))
    this.#running.set(batch.id, { abort, over })
  }

  /** What has a result keeps it. */
  async cancel(batch: Batch): Promise<void> {
    const { book, clock } = this.#needs
    book.change(batch.id, { status: 'cancelling', cancelling: seconds(clock) })
    const running = this.#running.get(batch.id)
    running?.abort.abort(new Error('the batch was cancelled'))
    await running?.over
    this.#end(batch.id, 'cancelled')
  }

  /** Ends what is under way; it goes on with the next start. */
  async stop(): Promise<void> {
    this.#cancelSweep()
    this.#stop.abort(new Error('the peer is stopping'))
    await Promise.all([...this.#running.values()].map(({ over }) => over))
  }

  async #run(batch: Batch, signal: AbortSignal): Promise<void> {
    const { book, clock, limits } = this.#needs
    const content = book.content(batch.owner, batch.input)
    // Who deletes the input of a batch that runs has cancelled what is left of it.
    const { lines } = content === undefined ? { lines: [] } : await parseLines(content, batch.endpoint, limits)
    const done = book.done(batch.id)
    const expires = batch.expires * 1000
    const late = new AbortController()
    const cancel = clock.after(Math.max(0, expires - clock.wall()), () =>
      late.abort(new Error('the batch has expired')),
    )
    const ended = AbortSignal.any([signal, late.signal])
    try {
      const left = lines.filter(({ line }) => !done.has(line))
      await Promise.all(Array.from({ length: PLACES }, () => this.#work(batch, left, ended)))
    } finally {
      cancel()
    }
    if (signal.aborted) return
    this.#end(batch.id, late.signal.aborted ? 'expired' : 'completed')
  }

  /** What its files had is told for as long as the batch is, also when they are deleted. */
  #end(id: string, status: 'cancelled' | 'completed' | 'expired'): void {
    const { book, clock } = this.#needs
    book.change(id, { status, ended: seconds(clock), counts: book.counts(id) })
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#needs.clock.after(DAY_MS, () => {
      try {
        this.#needs.book.sweep()
      } catch (error) {
        this.#needs.logger.warn({ err: error }, 'old batches could not be removed')
      }
      this.#sweepLater()
    })
  }

  async #work(batch: Batch, left: BatchLine[], signal: AbortSignal): Promise<void> {
    for (let line = left.shift(); line !== undefined && !signal.aborted; line = left.shift()) {
      if (batch.key !== undefined && !(await this.#needs.holds(batch.key))) return this.#withdraw(batch)
      await this.#compute(batch, line, signal)
    }
  }

  /** Its key was revoked or has expired. Not waited for: this is one of those that it waits for. */
  #withdraw(batch: Batch): void {
    const { logger } = this.#needs
    if (this.#running.get(batch.id)?.abort.signal.aborted === true) return
    logger.warn({ batch: batch.id, key: batch.key }, 'a batch ends: its key does not hold any more')
    this.cancel(batch).catch((error: unknown) => logger.warn({ err: error, batch: batch.id }, 'a batch was not ended'))
  }

  async #compute(batch: Batch, { line, customId, body }: BatchLine, signal: AbortSignal): Promise<void> {
    const answer = await this.#answer(batch.endpoint, body, signal)
    if (answer === undefined) return
    const ok = answer.status < 300
    const response = { status_code: answer.status, request_id: `req_${this.#needs.id()}`, body: answer.body }
    const text = JSON.stringify({ id: `batch_req_${this.#needs.id()}`, custom_id: customId, response, error: null })
    await this.#keep(batch.id, { line, ok, text }, signal)
    this.#needs.telemetry.count('batch_lines', 1, { outcome: ok ? 'ok' : 'failed' })
  }

  /** A disk that is full is waited for: what was computed is not thrown away. */
  async #keep(id: string, result: Parameters<BatchBook['addResult']>[1], signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return this.#needs.book.addResult(id, result)
      } catch (error) {
        this.#needs.logger.warn({ err: error, batch: id }, 'a result of a batch could not be written yet')
      }
      await this.#needs.clock.sleep(MOST_PAUSE_MS, signal)
    }
  }

  /** Undefined: the batch is over before. */
  async #answer(
    endpoint: BatchEndpoint,
    body: BatchLine['body'],
    signal: AbortSignal,
  ): Promise<LineAnswer | undefined> {
    const yielding = endpoint === '/v1/embeddings' ? body : { ...body, weft: inBatchLane(body['weft']) }
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(MOST_PAUSE_MS, 2 * pause)) {
      const answer = await this.#inTurn(() => this.#ask!(endpoint, yielding, signal), signal)
      if (signal.aborted) return undefined
      if (answer !== undefined && !COME_AGAIN.has(answer.status)) return answer
      this.#needs.telemetry.count('retries')
      await this.#needs.clock.sleep(pause, signal).catch(() => undefined)
    }
  }

  /** Undefined: nothing has answered, or the signal has fired. */
  async #inTurn(ask: () => Promise<LineAnswer>, signal: AbortSignal): Promise<LineAnswer | undefined> {
    const place = this.#enter()
    try {
      await orAbort(place, signal)
    } catch {
      // It may be its turn later; then it makes room at once.
      void place.then(() => this.#leave())
      return undefined
    }
    try {
      return await ask()
    } catch (error) {
      if (!signal.aborted) this.#needs.logger.warn({ err: error }, 'a line of a batch was not answered')
      return undefined
    } finally {
      this.#leave()
    }
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#places.push(resolve))
  }

  #leave(): void {
    const next = this.#places.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

function inBatchLane(weft: unknown): unknown {
  if (weft === undefined || weft === null) return { lane: 'batch' }
  // Whatever else stands there is judged where it is asked for.
  return typeof weft === 'object' && !Array.isArray(weft) ? { ...weft, lane: 'batch' } : weft
}

function seconds(clock: Pick<Clock, 'wall'>): number {
  return Math.floor(clock.wall() / 1000)
}
