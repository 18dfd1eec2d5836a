/** What a hop is told when it is opened. */
import { encodeControl } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import { RING } from '../ring/protocol.ts'
import type { Reroute, RouteOpen } from '../ring/protocol.ts'
import { packForced, packIds, unpackIds } from '../host/token-ids.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit } from './session.ts'

/**
 * @param tokens chosen so far, by a head that was there before
 * @param prefix names of the runs that the prompt begins with
 * @param left milliseconds of the deadline
 */
export function openingOf(
  init: SessionInit,
  route: readonly RouteSegment[],
  hop: number,
  tokens: readonly number[],
  more: {
    readonly prefix?: Uint8Array<ArrayBuffer> | undefined
    readonly guessKey?: Uint8Array<ArrayBuffer> | undefined
    readonly left?: number
  } = {},
): RouteOpen {
  const { digest, positions, sampler } = init
  const { prefix, guessKey, left = init.deadline } = more
  const isHead = hop === route.length - 1
  const chosen = [...unpackIds(sampler.generated ?? []), ...tokens.slice(init.follow.forced ?? 0)]
  const [history, generated] = [sampler.history, countsTokens(sampler) ? chosen : []].map(packIds)
  const { forced: _, ...plain } = sampler
  const own = { ...plain, history: history!, generated: generated!, ...packForced(sampler) }
  const audited = init.audit === undefined ? {} : { audited: true }
  return {
    digest,
    route: plainRoute(route),
    positions,
    deadline: left,
    sampler: isHead ? own : null,
    shadow: false,
    ...audited,
    ...(prefix === undefined ? {} : { prefix }),
    ...(guessKey === undefined || !isHead ? {} : { guesses: guessKey }),
    ...adapterOf(init, route, hop),
    ...(init.lane === 'batch' ? { lane: init.lane } : {}),
  }
}

/** For hops that have a use for it: of a soft prompt that with the embedding, else those with layers. */
function adapterOf({ adapter }: SessionInit, route: readonly RouteSegment[], hop: number): Pick<RouteOpen, 'adapter'> {
  if (adapter === undefined) return {}
  const { address, bytes, tokens } = adapter
  const { from, to } = route[hop]!
  const hasLayers = Math.max(from, 1) < Math.min(to, route.at(-1)!.to - 1)
  return (tokens === undefined ? hasLayers : from === 0) ? { adapter: { address, bytes } } : {}
}

export interface Known {
  readonly fresh: ReadonlySet<RouteSegment>
  /** Those that were fed beforehand, by the request under which they were. */
  readonly shadows: ReadonlyMap<RouteSegment, number>
  /** Chosen so far. */
  readonly tokens: readonly number[]
  readonly prefix: Uint8Array<ArrayBuffer> | undefined
  readonly guessKey: Uint8Array<ArrayBuffer> | undefined
  /** Milliseconds of the deadline. */
  readonly left: number
}

/** The message to each hop at the beginning of an attempt. */
export function openings(
  init: SessionInit,
  route: readonly RouteSegment[],
  { fresh, shadows, tokens, ...more }: Known,
): (Partial<Frame> & Pick<Frame, 'type'>)[] {
  return route.map((segment, hop) => {
    const isFresh = fresh.has(segment)
    const opening = isFresh ? openingOf(init, route, hop, tokens, more) : reroutingOf(route, hop, shadows.get(segment))
    return { type: isFresh ? RING.open : RING.reroute, hop, control: encodeControl(opening) }
  })
}

/** What a hop that stays is told. @param of the number under which it was a shadow */
function reroutingOf(route: readonly RouteSegment[], hop: number, of: number | undefined): Reroute {
  return { from: route[hop]!.from, route: plainRoute(route), ...(of === undefined ? {} : { of }) }
}

function plainRoute(route: readonly RouteSegment[]): RouteOpen['route'] {
  return route.map(({ peer, from, to }) => ({ peer, from, to }))
}

/** What is chosen hangs on the tokens that were chosen before. */
export function countsTokens({ sampling, format }: SessionInit['sampler']): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling
  if (format !== undefined) return true
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0
}
