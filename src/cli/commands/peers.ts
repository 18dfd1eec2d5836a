/** weft peers [ls|approve|deny|trust|bans|unban]: members of the mesh, and who is kept out of it. */
import type { PeerStatus } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { blocksTable, linksTable, memoryLines } from '../link-view.ts'
import { printable, table } from '../text.ts'
import type { PeerAccess } from '../peer-access.ts'
import { peersTable } from '../views.ts'
import { quarantineLines } from '../quarantine-view.ts'

/** Whoever waits for a person here, or here for a person elsewhere (`--lan confirm`). */
const PENDING = 'WEFT-DSC-005'

/** Below the table of peers: what was measured of ways and devices, of blocks, and whose memory was found to be less. */
function measured(status: PeerStatus): string[][] {
  return [linksTable(status), blocksTable(status), memoryLines(status)].filter((lines) => lines.length > 0)
}

/** A peer in quarantine may have gone: its id is taken as it is. */
async function trust({ out, signal }: CommandContext, access: PeerAccess, wanted: string): Promise<void> {
  const { peers, quarantine = [] } = await access.status(signal)
  const kept = quarantine.map(({ peer }) => ({ id: peer, name: peers.find(({ id }) => id === peer)?.name ?? '' }))
  const { id } = findPeer([...kept, ...peers.filter((peer) => !kept.some((each) => each.id === peer.id))], wanted)
  const lifted = await access.trust(id, signal)
  if (out.structured) out.document({ schema: 'weft.trust/1', peer: id, lifted })
  else out.note(lifted ? `${id} is out of quarantine` : `${id} was in no quarantine`)
}

function showBans({ out }: CommandContext, { site }: PeerStatus): void {
  const bans = site?.bans ?? []
  if (out.structured) out.document({ schema: 'weft.bans/1', bans })
  else if (bans.length === 0) out.note('nobody is kept out')
  else {
    const rows = bans.map(({ subject, until, why }) => [printable(subject), new Date(until).toISOString(), why])
    out.lines(table([{ head: 'WHO' }, { head: 'UNTIL' }, { head: 'WHY' }], rows))
  }
}

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const action = flags.argument(0) ?? 'ls'
  const wanted = flags.argument(1)
  if (action !== 'ls' && action !== 'bans' && wanted === undefined) {
    throw new UsageError(`weft peers ${action} needs PEER`, `usage: weft peers ${action} PEER`)
  }
  const access = await openFor(context, 'never')
  const status = await access.status(signal)
  if (action === 'bans') {
    showBans(context, status)
    return
  }
  if (action === 'ls' || wanted === undefined) {
    if (out.jsonl) for (const peer of status.peers) out.document({ schema: 'weft.peer/1', ...peer })
    else if (out.json)
      out.document({ schema: 'weft.peers/1', peers: status.peers, quarantine: status.quarantine ?? [] })
    else {
      out.lines(peersTable(status, flags.flag('wide')))
      if (flags.flag('wide')) for (const lines of measured(status)) out.lines(['', ...lines])
      out.lines(quarantineLines(status))
      for (const { code, why, hint } of status.seen_not_joined)
        if (code === PENDING) out.note(printable(`${why}. ${hint}`))
    }
    return
  }
  if (action === 'unban') {
    const lifted = await access.trust(wanted, signal)
    if (out.structured) out.document({ schema: 'weft.unban/1', subject: wanted, lifted })
    else out.note(lifted ? `${wanted} is not kept out any more` : `${wanted} was not kept out`)
    return
  }
  if (action === 'trust') {
    await trust(context, access, wanted)
    return
  }
  const admit = action === 'approve'
  // Newcomers that wait for a person are not members yet: an id that is only seen is passed on as it is.
  const seen = status.seen_not_joined.flatMap((entry) => (entry.id === null ? [] : [{ id: entry.id, name: '' }]))
  const waiting = status.cluster?.waiting ?? []
  const peer = findPeer([...status.peers, ...seen, ...waiting], wanted)
  await access.approve(peer.id, admit, signal)
  if (out.structured) out.document({ schema: 'weft.admission/1', peer: peer.id, admitted: admit })
  else out.note(`${peer.name === '' ? peer.id : peer.name} ${admit ? 'may join' : 'stays out'}`)
}
