/** What the origin gives to the first hop: the ids of all rows so far, to be given again when that hop is replaced. */
import { DTYPE, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { RowDigest } from '../ring/digest.ts'
import { RUN } from '../host/protocol.ts'
import { flagged } from '../ring/hop.ts'
import type { FlaggedRows } from '../ring/hop.ts'
import { MAX_FRAME_ROWS, RING } from '../ring/protocol.ts'
import type { Feed } from '../ring/protocol.ts'

/** Ids that are given again travel together like rows of a prompt. */
const REPLAY_ROWS = 128

export class FirstHop {
  readonly #ids: number[] = []
  readonly #send: (message: Frame) => Promise<void>
  #digest = new RowDigest()
  #step = 0
  /** Rows that it has been given in this attempt, guesses included. */
  #given = 0
  /** In this attempt nothing was given yet: the first rows take the place of what it may have from there on. */
  #fresh = true
  #hasGuessed = false
  /** That is under way. */
  #attempt = 0
  readonly #shadows = new Map<number, FirstHop>()

  constructor(send: (message: Frame) => Promise<void>) {
    this.#send = send
  }

  get rows(): number {
    return this.#ids.length
  }

  /** Rows that the stages have, or get, whatever comes of guesses: where some were made, the last row may be on its way. */
  get sure(): number {
    return this.#hasGuessed ? Math.max(0, this.#ids.length - 1) : this.#ids.length
  }

  /** The row behind all that were given in this attempt, guesses included. */
  get given(): number {
    return this.#given
  }

  /** Rows are here that were not given yet. */
  get lacks(): boolean {
    return this.#given < this.#ids.length
  }

  /** Guesses were given, so stages may have rows that never were. */
  get hasGuessed(): boolean {
    return this.#hasGuessed
  }

  /** Ids of the first rows. */
  ids(rows: number): readonly number[] {
    return this.#ids.slice(0, rows)
  }

  /** A shadow that is fed no more. */
  forget(request: number): void {
    this.#shadows.delete(request)
  }

  /** Rows from `rows` on never were. */
  truncate(rows: number): void {
    this.#ids.length = Math.min(this.#ids.length, rows)
    this.#given = Math.min(this.#given, rows)
    this.#shadows.clear()
  }

  append(ids: readonly number[]): void {
    for (const id of ids) this.#ids.push(id)
  }

  /** Ids of rows [from, to); what follows rows from `tokensFrom` on is wanted. */
  async give(request: number, attempt: number, from: number, to: number, tokensFrom: number): Promise<void> {
    // What is left of an older attempt would be in the running digest of this one.
    if (attempt < this.#attempt) return
    const sent: Promise<void>[] = []
    // All frames at once: what is given meanwhile comes behind them.
    for (let position = from; position < to; position += MAX_FRAME_ROWS) {
      const ids = Int32Array.from(this.#ids.slice(position, Math.min(to, position + MAX_FRAME_ROWS)))
      const chunk = { position, count: ids.length, payload: new Uint8Array(ids.buffer) }
      for (const rows of flagged(chunk, tokensFrom)) sent.push(this.#send(this.#frame(request, attempt, rows)))
    }
    await Promise.all(sent)
  }

  /** Rows that were not given yet; where more were given than there are, those were guesses that came to nothing. */
  async giveNext(request: number, attempt: number, tokensFrom: number): Promise<void> {
    const [rows, given] = [this.#ids.length, this.#given]
    const from = Math.min(given, rows - 1)
    this.#fresh ||= given > from
    this.#given = rows
    await this.give(request, attempt, from, rows, tokensFrom)
  }

  /**
   * The same, with guesses at what follows the last.
   * @param control by which the head reads them
   */
  async guess(request: number, attempt: number, guesses: readonly number[], control: Uint8Array): Promise<void> {
    const last = this.#ids.length - 1
    const given = this.#given
    this.#hasGuessed = true
    this.#fresh ||= given > last
    this.#given = last + 1 + guesses.length
    // Nothing is waited for between them: windows may be chained to this one meanwhile.
    const before = given < last ? this.give(request, attempt, given, last, Infinity) : undefined
    const ids = Int32Array.of(this.#ids[last]!, ...guesses)
    const rows = { position: last, count: ids.length, payload: new Uint8Array(ids.buffer), flags: RUN.token }
    if (attempt >= this.#attempt) await this.#send({ ...this.#frame(request, attempt, rows), control })
    await before
  }

  /**
   * Rows of guesses behind those that were given, which are all sure or under way.
   * @param control by which the head reads them
   */
  async chain(request: number, attempt: number, all: readonly number[], control: Uint8Array): Promise<void> {
    if (attempt < this.#attempt) return
    const ids = Int32Array.from(all)
    const rows = { position: this.#given, count: ids.length, payload: new Uint8Array(ids.buffer), flags: RUN.token }
    this.#given += ids.length
    await this.#send({ ...this.#frame(request, attempt, rows), control })
  }

  #frame(request: number, attempt: number, rows: FlaggedRows): Frame {
    const flags = rows.flags | (this.#fresh ? RUN.rewind : 0)
    this.#fresh = false
    return frame({
      type: RING.rows,
      request,
      attempt,
      step: this.#step++,
      position: rows.position,
      dtype: DTYPE.i32,
      dims: [rows.count],
      flags,
      digest: this.#digest.next(rows.payload),
      payload: rows.payload,
    })
  }

  /** All rows from `from` on under another attempt, those included that come meanwhile, while `goesOn`. */
  async giveAgain(
    request: number,
    attempt: number,
    from: number,
    tokensFrom: number,
    goesOn: () => boolean,
  ): Promise<void> {
    this.#digest = new RowDigest()
    this.#step = 0
    this.#fresh = true
    this.#attempt = attempt
    this.#given = from
    let position = from
    while (position < this.#ids.length && goesOn()) {
      const end = Math.min(position + REPLAY_ROWS, this.#ids.length)
      this.#given = end
      await this.give(request, attempt, position, end, tokensFrom)
      position = end
    }
  }

  /** Rows [from, to) to a shadow of the first hop, under its own number. */
  async giveShadow({ request, from, to, tokensFrom }: Feed, send: (message: Frame) => Promise<void>): Promise<void> {
    const shadow = this.#shadows.get(request) ?? new FirstHop(send)
    this.#shadows.set(request, shadow)
    shadow.append(this.#ids.slice(shadow.rows, to))
    for (let position = from; position < to; position += REPLAY_ROWS)
      await shadow.give(request, 0, position, Math.min(position + REPLAY_ROWS, to), tokensFrom ?? Infinity)
  }
}
