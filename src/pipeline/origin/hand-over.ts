/** Stages that move while they serve, because their peer is about to leave. */
import { countsTokens } from './opening.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit, SessionNeeds } from './session.ts'
import { openShadow } from './shadow.ts'
import type { Followed } from './shadow.ts'

export interface HandingOver extends Followed {
  readonly route: readonly RouteSegment[]
  readonly avoid: ReadonlySet<string>
  /** By which a head reads guesses. */
  readonly guessKey: Uint8Array<ArrayBuffer> | undefined
}

export interface Successor {
  readonly segment: RouteSegment
  /** Under which its hop is known until a reroute takes it in. */
  readonly shadow: number
  /** Of its stage host. */
  readonly pid: number
}

/**
 * A successor that has caught up; undefined: nobody takes it, or not beforehand, or what it was fed is of no use any more.
 * @throws what the successor refuses with
 */
export async function findSuccessor(
  needs: SessionNeeds,
  init: SessionInit,
  { route, avoid, ...followed }: HandingOver,
  leaving: RouteSegment,
): Promise<Successor | undefined> {
  const place = route.indexOf(leaving)
  // A head that counts tokens would have to be told of those that came while it was fed.
  if (place === route.length - 1 && countsTokens(init.sampler)) return undefined
  // That it leaves may not have gone round the mesh yet: until then nobody is as ready for its blocks as itself.
  const others = new Set([...avoid, leaving.peer])
  const found = await init.failover.replace(leaving, others, followed.signal)
  const segment = found?.[0]
  // One alone is asked: who is less ready than the first takes longer than the peer that leaves stays.
  if (segment === undefined || found?.length !== 1 || segment.peer === leaving.peer) return undefined
  const next = route.map((each) => (each === leaving ? segment : each))
  const shadow = await openShadow(needs, init, followed, next, place)
  if (!followed.signal.aborted) return { segment, shadow: shadow.request, pid: shadow.pid }
  shadow.close()
  return undefined
}
