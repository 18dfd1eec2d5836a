/**
 * An admin that hears from others whom it has let in itself has forgotten it: its home was put back from an older copy, and its
 * invites with it. Which of them were used since cannot be known, so that those which were open by then are good for nobody new.
 */
import type { Logger, Telemetry } from '../../telemetry/index.ts'
import type { Cluster, Entry, InviteBook } from '../../trust/index.ts'
import type { Site } from '../site.ts'

interface PutBackNeeds {
  readonly cluster: Cluster
  readonly invites: Pick<InviteBook, 'void'>
  readonly logger: Pick<Logger, 'warn' | 'error'>
  readonly telemetry: Pick<Telemetry, 'count'>
  readonly site: Pick<Site, 'note'>
}

/** @returns how to end it */
export function voidForgotten({ cluster, invites, logger, telemetry, site }: PutBackNeeds): () => void {
  const isForgotten = ({ body, signatures }: Entry): boolean =>
    body.kind === 'admit' && signatures.length === 1 && signatures[0]?.by === cluster.self
  return cluster.on(({ added, isHeard = false }) => {
    const forgotten = isHeard ? added.filter(isForgotten) : []
    if (forgotten.length === 0) return
    try {
      const voided = invites.void(Math.max(...forgotten.map(({ body }) => body.at)))
      if (voided === 0) return
      telemetry.count('invites_voided', voided)
      logger.warn({ forgotten: forgotten.length, voided }, 'this home is an older copy: its open invites have ended')
      const facts = { count: voided, forgotten: forgotten.length }
      site.note({ who: 'weft', what: 'invite.void', result: 'ok', facts })
    } catch (error) {
      logger.error({ err: error }, 'this home is an older copy, and its open invites could not be ended')
    }
  })
}
