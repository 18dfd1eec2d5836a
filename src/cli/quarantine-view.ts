/** Peers that an audit has found to lie, as a person reads them. */
import type { PeerStatus } from '../peer/index.ts'
import { printable } from './text.ts'

/** Two lines each: who, until when and why, and how to end it. None: nobody is kept out. */
export function quarantineLines({ quarantine = [], peers }: Pick<PeerStatus, 'quarantine' | 'peers'>): string[] {
  return quarantine.flatMap(({ peer, reason, since, until }) => {
    const name = peers.find(({ id }) => id === peer)?.name ?? peer
    const [from, to] = [since, until].map((at) => new Date(at).toISOString().slice(0, 16).replace('T', ' '))
    return [
      `QUARANTINE  ${printable(name)} since ${from}, until ${to} UTC: ${printable(reason)}`,
      `    it gets no stage of this peer's requests. To trust it again: weft peers trust ${printable(peer)}`,
    ]
  })
}
