/** What a session gives to its first hop, and when: ids of the prompt, and of tokens as they come. */
import { encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { FirstHop } from './first-hop.ts'
import { TextPrefix } from './prefix.ts'
import type { Reused, SessionInit } from './session.ts'
import { SessionText } from './session-text.ts'

export interface GivingNeeds {
  readonly request: number
  /** The attempt that is under way; undefined: what cannot go now goes with the next. */
  attempt(): number | undefined
  send(message: Frame): Promise<void>
}

export class Giving {
  readonly first: FirstHop
  readonly text: SessionText
  readonly #needs: GivingNeeds
  readonly #prefix: TextPrefix | undefined
  /** Rows that each hop had when it was last resumed. */
  #held: readonly number[] = [0]

  constructor(needs: GivingNeeds, init: SessionInit) {
    this.#needs = needs
    this.#prefix = TextPrefix.of(init)
    const isHeld = init.audit?.mode === 'hold'
    this.text = new SessionText(init.follow, (id, position) => void this.send([id], position), isHeld)
    this.first = new FirstHop((message) => needs.send(message))
  }

  /** Names of the runs that the prompt begins with; undefined: they are not told. */
  get offered(): Uint8Array<ArrayBuffer> | undefined {
    return this.#prefix?.offered
  }

  /** What hops are told at the end: names of the runs behind those, for what all of them have of the text. */
  get closing(): Partial<Frame> {
    const names = this.#prefix?.more(this.first.ids(this.text.nextTokenRow))
    return names === undefined ? {} : { control: encodeControl({ prefix: names }) }
  }

  get reused(): Reused {
    return { sent: this.first.rows, taken: this.#held.at(-1)! }
  }

  /** Rows of the prompt that nobody had to compute. */
  get found(): number {
    return Math.min(...this.#held)
  }

  /** Rows that a hop can have: those that were given, and those of the prefix. */
  bounded(rows: number): number {
    return Math.min(rows, Math.max(this.first.rows, this.#prefix?.rows ?? 0))
  }

  async send(ids: readonly number[], position: number): Promise<void> {
    const { rows } = this.first
    // A first hop with a prefix has begun in the middle of a chunk.
    const more = ids.slice(rows - position)
    if (position > rows || more.length === 0) return
    this.first.append(more)
    const { request } = this.#needs
    const attempt = this.#needs.attempt()
    if (attempt !== undefined) await this.first.give(request, attempt, rows, this.first.rows, this.text.nextTokenRow)
  }

  /** The hops have so many rows: the first gets the others, while `goesOn`. */
  async again(attempt: number, taken: readonly number[], goesOn: () => boolean): Promise<void> {
    const [{ rows }, first] = [this.first, taken[0]!]
    this.#held = taken
    if (first > rows) this.first.append(this.#prefix?.ids(rows, first) ?? [])
    const { request } = this.#needs
    await this.first.giveAgain(request, attempt, first, this.text.nextTokenRow, goesOn)
  }
}
