/** The route with every lost segment replaced, once somebody is there who can. */
import type { Clock } from '../../util/index.ts'
import { NoRouteError } from '../ring/errors.ts'
import type { RouteSegment } from './route.ts'
import type { Failover } from './session.ts'
import type { LostSegment, Trouble } from './trouble.ts'

/** Without a route, the next look waits for so long. */
const LOOK_MS = 200
/** A session that waits for somebody to take a stage says so after this. */
const TELL_MS = 1_500

export interface NextRoute {
  readonly route: readonly RouteSegment[]
  readonly replaced: readonly LostSegment[]
}

export interface NextRouteNeeds {
  readonly clock: Clock
  readonly failover: Failover
  readonly trouble: Trouble
  readonly signal: AbortSignal
  /** Time of the clock at which it is given up. */
  readonly until: number
  /** Time of the clock at which a row came through that had not come before. */
  readonly cameAt: number
  waiting(nobody: NoRouteError): void
}

/** @throws NoRouteError, the signal's reason */
export async function findRoute(needs: NextRouteNeeds, route: readonly RouteSegment[]): Promise<NextRoute> {
  const { clock, failover, trouble, signal, until, cameAt } = needs
  const since = clock.now()
  let tellAt = since + TELL_MS
  for (;;) {
    const { version, lost } = trouble
    const found = new Map<RouteSegment, readonly RouteSegment[]>()
    for (const { segment, by: ready } of lost) {
      const avoid = trouble.avoiding((peer) => failover.isReady?.(peer, segment) === true)
      const by = ready === undefined ? await failover.replace(segment, avoid, signal) : [ready]
      if (by !== undefined) found.set(segment, by)
    }
    signal.throwIfAborted()
    if (version !== trouble.version) continue
    const missing = lost.find(({ segment }) => !found.has(segment))
    if (missing === undefined)
      return { route: route.flatMap((segment) => found.get(segment) ?? [segment]), replaced: lost }
    const now = clock.now()
    const nobody = new NoRouteError(missing.segment, missing.why, (now - since) / 1000, now - cameAt)
    if (now >= until) throw nobody
    if (now >= tellAt) {
      tellAt = Infinity
      needs.waiting(nobody)
    }
    // The last look is when the time is over, not up to a look later.
    await clock.sleep(Math.min(LOOK_MS, until - now), signal)
  }
}
