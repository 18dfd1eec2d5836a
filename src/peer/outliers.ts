/** Rows that other peers sent and this one did not compute with: counted, told, and held against who sent them. */
import type { Mesh } from '../mesh/index.ts'
import type { Outlier, RowGate } from '../pipeline/index.ts'
import type { Parts } from './parts.ts'
import type { PeerEvent } from './types.ts'

/**
 * Blame is for what an honest stage never sends: what are no numbers, and rows that their sender itself has called those of the
 * boundary that they are far from. Else an origin could tell two honest peers of two routes, and have one keep out the other.
 */
export function rowGate(
  { levels, logger, site, telemetry }: Pick<Parts, 'levels' | 'logger' | 'site' | 'telemetry'>,
  mesh: () => Pick<Mesh, 'levels'> | null,
  emit: (event: string, data: PeerEvent['data']) => void,
): RowGate {
  return {
    levels: (digest, block, sender) => levels.of(digest, block, sender, mesh()),
    outlier(found: Outlier) {
      const { kind, peer, digest, block, position, isStated } = found
      telemetry.count('activation_outliers', 1, { kind })
      logger.warn({ peer, digest, block, position, kind }, 'rows of another peer are not computed with')
      emit('peer.outlier', { peer, digest, block, position, kind })
      site.outlier(peer, digest, { kind, block })
      if (kind === 'not-finite' || isStated) site.defence.offend(`peer:${peer}`, 'outlier')
    },
  }
}
