/**
 * Runs of graphs in parts that outlive their peers: a run has its inputs here until it ends, so what was lost with a peer is
 * computed again, with that peer's parts at this one. The cut stays, and with it the bits.
 */
import { WeftError } from '../errors.ts'
import { PeerLostError, StageHostLostError, StageMemoryError } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { GraphPlaces } from './graph-parts.ts'

/** Losses of one run after which it is not begun again: something is wrong with more than one peer. */
export const MOST_LOSSES = 3

const LOSSES: ReadonlySet<string> = new Set([PeerLostError.info.code, StageHostLostError.info.code])

export interface SurvivorsNeeds {
  readonly self: string
  isReachable(peer: string): boolean
  count: Telemetry['count']
}

/**
 * @param run the whole of it, at these places
 * @returns what it gave, and how many parts moved here on the way
 * @throws what `run` throws
 */
export async function withSurvivors<Result>(
  needs: SurvivorsNeeds,
  places: GraphPlaces,
  run: (places: GraphPlaces) => Promise<Result>,
): Promise<{ readonly result: Result; readonly moved: number }> {
  let moved = 0
  for (let losses = 0, now = places; ; losses++) {
    try {
      return { result: await run(now), moved }
    } catch (error) {
      if (losses >= MOST_LOSSES || !isLoss(error)) throw error
      const { peers, gone } = withoutLost(needs, now, error)
      moved += gone
      needs.count('failovers', gone)
      needs.count('retries')
      now = { ...now, peers }
    }
  }
}

/** A peer or a process of one was lost, or that peer has no memory for its part, and what it computed can be computed elsewhere. */
export function isLoss(error: unknown): boolean {
  return LOSSES.has(codeOf(error)) || namedOf(error) !== undefined
}

/** Whom the error names: it is gone, or has no memory for what it was given, by its own word. */
function namedOf(error: unknown): string | undefined {
  const isNamed = error instanceof PeerLostError || codeOf(error) === StageMemoryError.info.code
  const { peer } = isNamed && error instanceof WeftError ? error.details : {}
  return typeof peer === 'string' ? peer : undefined
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** Where the parts are then, and how many of them have moved here. */
export function withoutLost(
  needs: Pick<SurvivorsNeeds, 'self' | 'isReachable'>,
  places: GraphPlaces,
  error: unknown,
): { readonly peers: readonly string[]; readonly gone: number } {
  const peers = places.peers.map((peer) => (isHere(needs, peer, error) ? peer : needs.self))
  return { peers, gone: peers.filter((peer, part) => peer !== places.peers[part]).length }
}

/** Whom the loss names is gone, whatever others have not heard yet; this peer starts what it has lost again. */
function isHere(needs: Pick<SurvivorsNeeds, 'self' | 'isReachable'>, peer: string, error: unknown): boolean {
  return peer === needs.self || (peer !== namedOf(error) && needs.isReachable(peer))
}
