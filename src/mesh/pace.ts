/** How fast one holder delivers, and so how much may wait there. */
import { CHUNK_BYTES } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import { CHUNKS_IN_FLIGHT, FLIGHT_MS, MAX_CHUNKS_IN_FLIGHT } from './limits.ts'

/** A newer measure counts so much against all older ones: a line that changes is followed within a few seconds. */
const WEIGHT = 0.3
const MEASURE_MS = 250

export class Pace {
  readonly #clock: Clock
  readonly #measured: (rate: number) => void
  #rate: number | undefined
  #since: number
  #bytes = 0

  /** @param measured called with each new measure, bytes a second */
  constructor(clock: Clock, measured: (rate: number) => void = () => undefined) {
    this.#clock = clock
    this.#measured = measured
    this.#since = clock.now()
  }

  /** Nothing was under way here: time begins with the next question. */
  begin(): void {
    this.#since = this.#clock.now()
    this.#bytes = 0
  }

  received(bytes: number): void {
    this.#bytes += bytes
    const now = this.#clock.now()
    const elapsed = now - this.#since
    if (elapsed < MEASURE_MS && !(this.#rate === undefined && elapsed > 0 && this.#bytes >= CHUNK_BYTES)) return
    const measured = (this.#bytes / elapsed) * 1000
    this.#rate = this.#rate === undefined ? measured : this.#rate + WEIGHT * (measured - this.#rate)
    this.#since = now
    this.#bytes = 0
    this.#measured(measured)
  }

  /** Bytes a second; undefined until it has delivered a chunk. */
  get rate(): number | undefined {
    return this.#rate
  }

  /** Chunks that may be under way. */
  depth(): number {
    if (this.#rate === undefined) return CHUNKS_IN_FLIGHT
    const chunks = Math.ceil((this.#rate * FLIGHT_MS) / 1000 / CHUNK_BYTES)
    return Math.min(MAX_CHUNKS_IN_FLIGHT, Math.max(2, chunks))
  }

  /** Milliseconds that so many bytes would take; undefined when nothing is known. */
  time(bytes: number): number | undefined {
    return this.#rate === undefined ? undefined : (bytes / Math.max(1, this.#rate)) * 1000
  }
}
