/** From a placement to the route of one request. */
import type { PlacementStage } from '../types.ts'

export interface RouteSegment {
  readonly peer: string
  readonly from: number
  readonly to: number
}

/** `origin` becomes the peer that took the request; neighbouring segments of one peer become one hop. */
export function routeOf(stages: readonly PlacementStage[], self: string): RouteSegment[] {
  const route: RouteSegment[] = []
  for (const stage of stages) {
    const peer = stage.peer === 'origin' ? self : stage.peer
    const last = route.at(-1)
    if (last?.peer === peer) route[route.length - 1] = { peer, from: last.from, to: stage.to }
    else route.push({ peer, from: stage.from, to: stage.to })
  }
  return route
}

/** `PEER[0:10],PEER[10:20]`: the header `x-weft-route`. */
export function formatRoute(route: readonly RouteSegment[]): string {
  return route.map((hop) => `${hop.peer}[${hop.from}:${hop.to}]`).join(',')
}
