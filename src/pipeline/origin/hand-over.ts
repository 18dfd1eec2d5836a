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
  close(): void
}

/** A successor that has caught up; undefined: nobody takes it, or not beforehand. @throws what the successor refuses with */
export async function findSuccessor(
  needs: SessionNeeds,
  init: SessionInit,
  { route, avoid, ...followed }: HandingOver,
  place: number,
): Promise<Successor | undefined> {
  const leaving = route[place]!
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
  return { segment, shadow: shadow.request, pid: shadow.pid, close: () => shadow.close() }
}
