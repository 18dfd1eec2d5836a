/** One attempt at a route: hops that are new are opened, those that stay are told of their neighbours, all answer. */
import { encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import { PeerLostError } from '../ring/errors.ts'
import { RING } from '../ring/protocol.ts'
import { answerWithin } from './answers.ts'
import type { Answers } from './answers.ts'
import { openingOf, plainRoute } from './opening.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit } from './session.ts'

/** A hop that has to fetch and pack its blocks first takes this long at most. */
const OPEN_DEADLINE_MS = 300_000
/** A hop that stays has nothing to do for its answer. */
const STAY_DEADLINE_MS = 2_500
const SILENT = 'it does not answer'

export interface AttemptInit {
  readonly clock: Clock
  readonly session: SessionInit
  readonly route: readonly RouteSegment[]
  readonly fresh: ReadonlySet<RouteSegment>
  /** Those that were fed beforehand, by the request under which they were. */
  readonly shadows: ReadonlyMap<RouteSegment, number>
  /** Chosen so far. */
  readonly tokens: readonly number[]
  readonly give: (peer: string, message: Partial<Frame> & Pick<Frame, 'type'>) => void
  /** A hop does not answer. */
  silent(segment: RouteSegment, why: string): void
}

/** Returns the rows that each hop has. @throws what went wrong */
export async function runAttempt(init: AttemptInit, answers: Answers): Promise<readonly number[]> {
  const { clock, route, fresh, shadows, give } = init
  const late = (hop: number): Error => {
    init.silent(route[hop]!, SILENT)
    return new PeerLostError(route[hop]!.peer, SILENT)
  }
  const all = [...route.keys()]
  const stay = all.filter((hop) => !fresh.has(route[hop]!))
  const cancel = [
    answerWithin(clock, answers, STAY_DEADLINE_MS, stay, late),
    answerWithin(clock, answers, OPEN_DEADLINE_MS, all, late),
  ]
  try {
    for (const [hop, segment] of route.entries()) {
      const isFresh = fresh.has(segment)
      const of = shadows.get(segment)
      const reroute = { from: segment.from, route: plainRoute(route), ...(of === undefined ? {} : { of }) }
      const control = encodeControl(isFresh ? openingOf(init.session, route, hop, init.tokens) : reroute)
      give(segment.peer, { type: isFresh ? RING.open : RING.reroute, hop, control })
    }
    return await answers.all
  } finally {
    for (const each of cancel) each()
  }
}
