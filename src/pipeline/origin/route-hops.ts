/** The hops of a session's route as its origin knows them: which are open, in which process, which were fed beforehand. */
import type { OriginRoute } from '../ring/origins.ts'
import type { RouteHop } from '../types.ts'
import type { Successor } from './hand-over.ts'
import type { RouteSegment } from './route.ts'

export class RouteHops implements OriginRoute {
  route: readonly RouteSegment[]
  peers: ReadonlySet<string>
  readonly #pids = new Map<number, number>()
  /** Segments that are open where they are. */
  readonly #open = new Set<RouteSegment>()
  /** Those that were fed beforehand, by the request under which they were. */
  readonly shadows = new Map<RouteSegment, number>()

  constructor(route: readonly RouteSegment[]) {
    this.route = route
    this.peers = peersOf(route)
  }

  /** The head. */
  get answering(): number {
    return this.route.length - 1
  }

  peerAt(hop: number): string | undefined {
    return this.route[hop]?.peer
  }

  get all(): readonly RouteHop[] {
    return this.route.map(({ peer, from, to }) => ({ peer, pid: this.#pids.get(from) ?? 0, from, to }))
  }

  take(route: readonly RouteSegment[]): void {
    this.route = route
    this.peers = peersOf(route)
  }

  opened(hop: number, pid: number): void {
    const segment = this.route[hop]
    if (segment === undefined) return
    this.#pids.set(segment.from, pid)
    this.#open.add(segment)
  }

  /** It goes on, under the session's own number. */
  rerouted(hop: number): void {
    const segment = this.route[hop]
    if (segment !== undefined) this.shadows.delete(segment)
  }

  /** It was fed beforehand, under another number. */
  adopt({ segment, shadow, pid }: Pick<Successor, 'segment' | 'shadow' | 'pid'>): void {
    this.shadows.set(segment, shadow)
    this.#pids.set(segment.from, pid)
    this.#open.add(segment)
  }

  forget(segment: RouteSegment): void {
    this.#open.delete(segment)
  }

  /** Segments that have to be opened. */
  fresh(route: readonly RouteSegment[]): ReadonlySet<RouteSegment> {
    return new Set(route.filter((segment) => !this.#open.has(segment)))
  }
}

function peersOf(route: readonly RouteSegment[]): ReadonlySet<string> {
  return new Set(route.map(({ peer }) => peer))
}
