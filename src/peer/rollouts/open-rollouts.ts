/** Roll-outs of this peer, out of its home; what they serve is asked for as soon as it runs. */
import { join } from 'node:path'
import type { AuditEvent } from '../../trust/index.ts'
import type { Parts } from '../parts.ts'
import type { PeerEvent } from '../types.ts'
import { RolloutBook } from './book.ts'
import { outletOf } from './outlet.ts'
import type { OutletNeeds } from './outlet.ts'
import { Rollouts } from './rollouts.ts'

export async function openRollouts(
  { clock, logger, paths, site, telemetry }: Parts,
  wired: Omit<OutletNeeds, 'home'>,
  emit: (event: string, data: PeerEvent['data']) => void,
): Promise<Rollouts> {
  const book = await RolloutBook.open(join(paths.state, 'rollouts'), (file, error) =>
    logger.warn({ file, err: error }, 'a roll-out cannot be read'),
  )
  return new Rollouts({
    clock,
    book,
    outlet: outletOf(() => ({ ...wired, home: paths.root })),
    note: (event: AuditEvent) => site.note(event),
    count: (counter) => telemetry.count(counter),
    emit,
    log: (facts, text) => logger.warn(facts, text),
  })
}
