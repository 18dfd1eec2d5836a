/** What the origin gives to the first hop: the ids of all rows so far, to be given again when that hop is replaced. */
import { DTYPE, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { RowDigest } from '../ring/digest.ts'
import { flagged } from '../ring/hop.ts'
import { RING } from '../ring/protocol.ts'
import type { Feed } from '../ring/protocol.ts'

/** Ids that are given again travel together like rows of a prompt. */
const REPLAY_ROWS = 128

export class FirstHop {
  readonly #ids: number[] = []
  readonly #send: (message: Frame) => Promise<void>
  #digest = new RowDigest()
  #step = 0
  readonly #shadows = new Map<number, FirstHop>()

  constructor(send: (message: Frame) => Promise<void>) {
    this.#send = send
  }

  get rows(): number {
    return this.#ids.length
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
    this.#shadows.clear()
  }

  append(ids: readonly number[]): void {
    for (const id of ids) this.#ids.push(id)
  }

  /** Ids of rows [from, to); what follows rows from `tokensFrom` on is wanted. */
  async give(request: number, attempt: number, from: number, to: number, tokensFrom: number): Promise<void> {
    const payload = new Uint8Array(Int32Array.from(this.#ids.slice(from, to)).buffer)
    for (const rows of flagged({ position: from, count: to - from, payload }, tokensFrom)) {
      const message = frame({
        type: RING.rows,
        request,
        attempt,
        step: this.#step++,
        position: rows.position,
        dtype: DTYPE.i32,
        dims: [rows.count],
        flags: rows.flags,
        digest: this.#digest.next(rows.payload),
        payload: rows.payload,
      })
      await this.#send(message)
    }
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
    let position = from
    while (position < this.#ids.length && goesOn()) {
      const end = Math.min(position + REPLAY_ROWS, this.#ids.length)
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
