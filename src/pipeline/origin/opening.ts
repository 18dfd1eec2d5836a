/** What a hop is told when it is opened. */
import type { RouteOpen } from '../ring/protocol.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit } from './session.ts'

/** @param tokens chosen so far, by a head that was there before */
export function openingOf(
  init: SessionInit,
  route: readonly RouteSegment[],
  hop: number,
  tokens: readonly number[],
): RouteOpen {
  const { digest, positions, deadline, sampler } = init
  const isHead = hop === route.length - 1
  const own = { ...sampler, history: [...sampler.history], generated: countsTokens(sampler) ? [...tokens] : [] }
  return { digest, route: plainRoute(route), positions, deadline, sampler: isHead ? own : null, shadow: false }
}

export function plainRoute(route: readonly RouteSegment[]): RouteOpen['route'] {
  return route.map(({ peer, from, to }) => ({ peer, from, to }))
}

/** What is chosen hangs on the tokens that were chosen before. */
export function countsTokens({ sampling }: SessionInit['sampler']): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0
}
