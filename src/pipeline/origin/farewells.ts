/**
 * Stages whose peers are about to leave. Each is handed over while its peer still serves; where the route changes meanwhile, since another
 * stage was lost or handed over, what its successor was fed is of no use, and it is begun anew when the route stands.
 */
import type { RouteSegment } from './route.ts'

export class Farewells {
  readonly #stop: AbortSignal
  readonly #handOver: (segment: RouteSegment, signal: AbortSignal) => Promise<void>
  readonly #leaving = new Set<RouteSegment>()
  #moved = new AbortController()
  #isStanding = false

  /**
   * @param stop the session is over
   * @param handOver until its signal says that the route changes, or that; what it throws is not looked at
   */
  constructor(stop: AbortSignal, handOver: (segment: RouteSegment, signal: AbortSignal) => Promise<void>) {
    this.#stop = stop
    this.#handOver = handOver
  }

  said(segment: RouteSegment): void {
    if (this.#leaving.has(segment)) return
    this.#leaving.add(segment)
    if (this.#isStanding) this.#begin(segment)
  }

  moves(): void {
    this.#isStanding = false
    this.#moved.abort()
  }

  stands(route: readonly RouteSegment[]): void {
    this.#isStanding = true
    this.#moved = new AbortController()
    for (const segment of this.#leaving) {
      if (route.includes(segment)) this.#begin(segment)
      else this.#leaving.delete(segment)
    }
  }

  #begin(segment: RouteSegment): void {
    this.#handOver(segment, AbortSignal.any([this.#stop, this.#moved.signal])).catch(() => undefined)
  }
}
