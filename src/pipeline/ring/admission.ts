/** What an origin may open and reroute at a peer: its own sessions, at the place that the route gives to this peer. */
import type { Frame } from '../../net/index.ts'
import { SessionRefusedError } from './errors.ts'
import type { Hop } from './hop.ts'
import type { HopTable } from './hop-table.ts'
import type { Opening, Openings } from './openings.ts'
import type { Feed, Reroute, RouteOpen } from './protocol.ts'
import { admitOnward, refusedNow } from './site-gate.ts'
import type { SiteGate } from './site-gate.ts'

/** Sessions that one other peer may have open here: keeps a guest from taking all the KV memory in small pieces. */
const MAX_SESSIONS_A_PEER = 64

export interface Admission {
  readonly own: RouteOpen['route'][number]
  /** The same session of an older attempt: its origin takes it for lost, and will feed it again. */
  readonly replaces: Hop | undefined
}

export interface Sessions extends Pick<SiteGate, 'permit'> {
  readonly self: string
  readonly hops: HopTable
  readonly openings: Openings
}

/**
 * Asked when an opening comes, and again when all is here that it needs: other frames have come meanwhile.
 * @param opening its own, the second time
 * @throws SessionRefusedError, what the site refuses with
 */
export function admitOpen(
  sessions: Sessions,
  origin: string,
  message: Frame,
  open: RouteOpen,
  opening?: Opening,
): Admission {
  const { self, hops, openings } = sessions
  const facts = { from: origin, hop: message.hop }
  const segment = open.route[message.hop]
  if (segment?.peer !== self) throw new SessionRefusedError('the route does not name this peer at this place', facts)
  admitNumber(sessions, origin, message.request)
  admitOnward(sessions, origin, open.digest, [open.route[message.hop + 1]?.peer])
  const replaces = hops.find(origin, message.request, segment.from)
  const begun = opening === undefined ? openings.find(origin, message.request, segment.from) : undefined
  if (Math.max(replaces?.attempt ?? -1, begun?.attempt ?? -1) >= message.attempt)
    throw new SessionRefusedError('the session is open already', facts)
  const own = opening ?? begun
  const isOther = (one: Hop | Opening): boolean => one !== replaces && one !== own
  // Those that are being opened too: many may come before the first has its blocks.
  const others = [...hops.ofOrigin(origin), ...openings.ofOrigin(origin)].filter(isOther).length
  if (others >= MAX_SESSIONS_A_PEER && origin !== self)
    throw new SessionRefusedError(`${MAX_SESSIONS_A_PEER} sessions of one peer are open already`, {
      ...facts,
      sessions: MAX_SESSIONS_A_PEER,
    })
  return { own: segment, replaces }
}

/** The hop that stays. @throws SessionRefusedError, what the site refuses with */
export function admitReroute(sessions: Sessions, origin: string, message: Frame, reroute: Reroute): Hop {
  const { self, hops } = sessions
  const facts = { from: origin, hop: message.hop }
  const hop = hops.find(origin, reroute.of ?? message.request, reroute.from)
  if (hop === undefined) throw new SessionRefusedError('the session is not here any more', facts)
  const own = reroute.route[message.hop]
  if (own?.peer !== self || own.from !== hop.from || own.to !== hop.to)
    throw new SessionRefusedError('the route does not name this peer at this place', facts)
  if (message.attempt <= hop.attempt) throw new SessionRefusedError('the attempt is not a later one', facts)
  if (reroute.of !== undefined) admitNumber(sessions, origin, message.request)
  admitOnward(sessions, origin, hop.digest, [reroute.route[message.hop + 1]?.peer])
  return hop
}

/**
 * Rows go to whomever an origin names, from this peer: not where its site does not let them, and not into a session that
 * another origin has over this peer, whose next stage would take them for what it waits for.
 * @throws SessionRefusedError, what the site refuses with
 */
export function admitFeed(sessions: Sessions, hop: Hop, { peer, request }: Feed, gate: SiteGate): void {
  admitNumber(sessions, hop.origin.peer, request)
  if (peer !== sessions.self) gate.permit?.(peer, hop.digest)
}

/** Sessions of others that the site does not let go on, here or to where their rows go; with why. */
export function refusedHops(gate: SiteGate & { readonly self: string }, hops: Iterable<Hop>): [Hop, Error][] {
  return refusedNow(
    gate,
    hops,
    ({ digest }) => digest,
    ({ next }) => [next],
  )
}

/** Numbers are random, so that two origins have one only if one of them wants it: it would be given rows of the other. */
function admitNumber({ hops, openings }: Sessions, origin: string, request: number): void {
  if (hops.isForeign(request, origin) || openings.isForeign(request, origin))
    throw new SessionRefusedError('another origin has a session of this number here', { from: origin })
}
