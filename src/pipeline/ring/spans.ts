/**
 * When rows came and when they went on: what a trace of a session is made of. Kept for each session, always: a few numbers
 * a step, of the first steps and the last ones.
 *
 * On the wire a span has 32 bytes, little-endian:
 *
 *   0 u16 attempt   2 u16 rows   4 u32 step   8 f64 came, milliseconds of its peer's clock
 *  16 u32 stayed   20 u32 computed   24 u32 waited, all three in microseconds   28 u32 position
 */
import type { Frame } from '../../net/index.ts'

export interface Span {
  readonly attempt: number
  /** Counts the frames that the origin gave in this attempt. */
  readonly step: number
  readonly position: number
  readonly rows: number
  /** Milliseconds of the clock of whoever recorded it. */
  readonly came: number
  /** Microseconds until what was made of them went on. */
  readonly stayed: number
  /** Of these, in which the stage computed. */
  readonly computed: number
  /** Of these, in which the stage host had them and did not compute them. */
  readonly waited: number
}

/** Of the prompt and the beginning. */
export const FIRST_SPANS = 64
/** Of the end. */
export const LAST_SPANS = 192
/** Rows are given to a host before it has answered those before, but not without end. */
const MAX_OPEN = 512
const SPAN_BYTES = 32
const MOST = 2 ** 32 - 1

interface Open {
  readonly attempt: number
  readonly step: number
  readonly came: number
  readonly micros: number
  readonly waited: number
}

export class Spans {
  readonly #first: Span[] = []
  /** A ring: the next one goes to `#count` modulo its length. */
  readonly #last: Span[] = []
  #open: Open[] = []
  #count = 0

  /** Spans between the first and the last that are gone. */
  get dropped(): number {
    return this.#count - this.#first.length - this.#last.length
  }

  /** Oldest first. */
  all(): Span[] {
    const at = this.#last.length < LAST_SPANS ? 0 : (this.#count - this.#first.length) % LAST_SPANS
    return [...this.#first, ...this.#last.slice(at), ...this.#last.slice(0, at)]
  }

  /** @param now milliseconds of the clock that all spans here have */
  came({ attempt, step, micros, waited }: Frame, now: number): void {
    if (this.#open.length >= MAX_OPEN) this.#open.shift()
    this.#open.push({ attempt, step, came: now, micros, waited })
  }

  /** What was made of rows goes on; they come out in the order in which they went in. */
  went({ attempt, step, position, rows, micros, waited }: Frame, now: number): void {
    const index = this.#open.findIndex((open) => open.attempt === attempt && open.step === step)
    if (index < 0) return
    const open = this.#open[index]!
    this.#open = this.#open.slice(index + 1)
    const stayed = micro((now - open.came) * 1000)
    const computed = micro(micros - open.micros)
    this.#add({
      attempt,
      step,
      position,
      rows,
      came: open.came,
      stayed,
      computed: Math.min(stayed, computed),
      waited: Math.min(Math.max(0, stayed - computed), micro(waited - open.waited)),
    })
  }

  #add(span: Span): void {
    if (this.#first.length < FIRST_SPANS) this.#first.push(span)
    else this.#last[(this.#count - FIRST_SPANS) % LAST_SPANS] = span
    this.#count++
  }
}

function micro(value: number): number {
  return Math.min(MOST, Math.max(0, Math.round(value)))
}

export function encodeSpans(spans: readonly Span[]): Uint8Array {
  const bytes = new Uint8Array(spans.length * SPAN_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [index, span] of spans.entries()) {
    const at = index * SPAN_BYTES
    view.setUint16(at, span.attempt, true)
    view.setUint16(at + 2, span.rows, true)
    view.setUint32(at + 4, span.step, true)
    view.setFloat64(at + 8, span.came, true)
    view.setUint32(at + 16, span.stayed, true)
    view.setUint32(at + 20, span.computed, true)
    view.setUint32(at + 24, span.waited, true)
    view.setUint32(at + 28, span.position, true)
  }
  return bytes
}

/** Undefined: these are no spans of ours. */
export function decodeSpans(bytes: Uint8Array): Span[] | undefined {
  const count = bytes.length / SPAN_BYTES
  if (!Number.isInteger(count) || count > FIRST_SPANS + LAST_SPANS) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const spans = Array.from({ length: count }, (_, index): Span => {
    const at = index * SPAN_BYTES
    return {
      attempt: view.getUint16(at, true),
      rows: view.getUint16(at + 2, true),
      step: view.getUint32(at + 4, true),
      came: view.getFloat64(at + 8, true),
      stayed: view.getUint32(at + 16, true),
      computed: view.getUint32(at + 20, true),
      waited: view.getUint32(at + 24, true),
      position: view.getUint32(at + 28, true),
    }
  })
  return spans.every(isPossible) ? spans : undefined
}

function isPossible({ came, stayed, computed, waited }: Span): boolean {
  return Number.isFinite(came) && computed + waited <= stayed + 2
}
