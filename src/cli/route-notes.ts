/** What is told beside a text whose route changes: on stderr, so that the text itself is the same as without. */
import type { GenerateEvent } from '../pipeline/index.ts'
import { plural } from './format.ts'
import type { Output } from './output.ts'
import { printable } from './text.ts'

/** One line for a stage that was replaced, found to lie, or that nobody can take yet; no other event says anything. */
export function noteRoute(out: Pick<Output, 'note'>, event: GenerateEvent): void {
  if (event.type === 'waiting') out.note(`waiting: ${printable(event.message)} (${event.code})`)
  else if (event.type === 'audit') out.note(auditNote(event))
  else if (event.type === 'reroute' && event.lost.length > 0) {
    const by = event.route.map(({ peer, from, to }) => `${short(peer)}[${from}:${to}]`).join(' -> ')
    const rest = event.exact ? '' : '; other kernels: the text may differ from here on'
    out.note(
      `lost ${event.lost.map(short).join(', ')} in mid-answer; it goes on over ${by} ` +
        `(${plural(event.replayed_rows, 'row')} again)${rest}`,
    )
  }
}

function auditNote({ verdict, peer, affected, why }: Extract<GenerateEvent, { type: 'audit' }>): string {
  const what =
    verdict === 'lie'
      ? `audit: ${short(peer)} computes something else than it should, and is in quarantine`
      : `audit: what ${short(peer)} computes could not be decided; it is left out of this answer`
  const rest = affected === 0 ? '' : `; the last ${plural(affected, 'token')} above may be wrong`
  return `${what} (${printable(why)})${rest}`
}

function short(peer: string): string {
  return printable(peer.slice(-6))
}
