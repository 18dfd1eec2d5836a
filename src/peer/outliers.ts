/** Rows that other peers sent and this one did not compute with: counted, told, and held against who sent them. */
import type { Mesh } from '../mesh/index.ts'
import type { Outlier, RowGate } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'
import type { Parts } from './parts.ts'
import type { PeerEvent } from './types.ts'

/** So many origins would have to agree on a lie to have an honest peer blamed for rows that it has not named. */
export const WITNESSES = 3
const WITNESS_MS = 60 * 60_000
/** Senders that are remembered; those of the longest ago go first. */
const MAX_SENDERS = 1_024

/**
 * Blame is for what an honest stage never sends: what are no numbers, and rows that their sender itself has called those of the
 * boundary that they are far from. Else an origin could tell two honest peers of two routes, and have one keep out the other.
 * Who names no rows, and sends such in answers of one origin after another, is blamed too: it would go on for ever.
 */
export function rowGate(
  { clock, levels, logger, site, telemetry }: Pick<Parts, 'clock' | 'levels' | 'logger' | 'site' | 'telemetry'>,
  mesh: () => Pick<Mesh, 'levels'> | null,
  emit: (event: string, data: PeerEvent['data']) => void,
): RowGate {
  const witnesses = createWitnesses(clock)
  return {
    levels: (digest, block, sender) => levels.of(digest, block, sender, mesh()),
    outlier(found: Outlier) {
      const { kind, peer, origin, digest, block, position, isStated } = found
      telemetry.count('activation_outliers', 1, { kind })
      logger.warn({ peer, digest, block, position, kind }, 'rows of another peer are not computed with')
      emit('peer.outlier', { peer, digest, block, position, kind })
      site.outlier(peer, digest, { kind, block })
      if (kind === 'not-finite' || isStated || witnesses.areEnough(peer, origin))
        site.defence.offend(`peer:${peer}`, 'outlier')
    },
  }
}

/** In whose answers each peer has sent rows that it did not name and nobody computes. */
function createWitnesses(clock: Pick<Clock, 'now'>): { areEnough(peer: string, origin: string): boolean } {
  const all = new Map<string, Map<string, number>>()
  return {
    areEnough(peer, origin) {
      // what an origin sends may be of somebody whom it has computed again
      if (peer === origin) return false
      const now = clock.now()
      const fresh = [...(all.get(peer) ?? [])].filter(([one, at]) => one !== origin && now - at < WITNESS_MS)
      const seen = new Map([...fresh, [origin, now]]).entries().toArray().slice(-WITNESSES)
      all.delete(peer)
      all.set(peer, new Map(seen))
      while (all.size > MAX_SENDERS) all.delete(all.keys().next().value!)
      return seen.length >= WITNESSES
    },
  }
}
