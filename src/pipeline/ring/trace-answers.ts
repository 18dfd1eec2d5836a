/** At its end an origin asks each hop of a session when rows came there and went on. Whoever does not say is left out. */
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { decodeTraced } from './protocol.ts'
import { decodeSpans } from './spans.ts'
import type { Span } from './spans.ts'

/** A hop that has not answered by then has left, or knows no traces. */
const PATIENCE_MS = 2_000

export interface HopTrace {
  readonly spans: readonly Span[]
  /** Between the first and the last of them. */
  readonly dropped: number
  /** Milliseconds that the hop's clock is ahead of ours, and how far that may be off: half of the question's round trip. */
  readonly ahead: number
  readonly uncertain: number
}

interface Waiting {
  /** By place in the route. */
  readonly peers: readonly string[]
  readonly attempt: number
  readonly asked: number
  readonly found: (HopTrace | undefined)[]
  left: number
  done(): void
}

export class TraceAnswers {
  readonly #clock: Clock
  readonly #self: string
  readonly #waiting = new Map<number, Waiting>()

  constructor(clock: Clock, self: string) {
    this.#clock = clock
    this.#self = self
  }

  /** What the hops of a session say, by place; they are asked right after this. */
  expect(request: number, attempt: number, peers: readonly string[]): Promise<readonly (HopTrace | undefined)[]> {
    const { promise, resolve } = Promise.withResolvers<readonly (HopTrace | undefined)[]>()
    const found = peers.map(() => undefined)
    const done = (): void => {
      cancel()
      this.#waiting.delete(request)
      resolve(found)
    }
    const cancel = this.#clock.after(PATIENCE_MS, done)
    this.#waiting.set(request, { peers, attempt, asked: this.#clock.now(), found, left: peers.length, done })
    return promise
  }

  /** False: nobody has asked this peer. @throws FrameError */
  receive(from: string, message: Frame): boolean {
    const waiting = this.#waiting.get(message.request)
    const { hop, attempt } = message
    if (waiting?.peers[hop] !== from || waiting.attempt !== attempt || waiting.found[hop] !== undefined) return false
    const { now, dropped } = decodeTraced(message)
    const spans = decodeSpans(message.payload)
    if (spans === undefined) return false
    const answered = this.#clock.now()
    const isOwn = from === this.#self
    waiting.found[hop] = {
      spans,
      dropped,
      ahead: isOwn ? 0 : now - (waiting.asked + answered) / 2,
      uncertain: isOwn ? 0 : (answered - waiting.asked) / 2,
    }
    if (--waiting.left === 0) waiting.done()
    return true
  }
}
