/** weft backup send|fetch|keep|kept: backups that lie on another peer. */
import { resolve } from 'node:path'
import { BackupShelf } from '../../store/index.ts'
import { isPeerId } from '../../trust/index.ts'
import { openFor } from '../context.ts'
import type { CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { formatBytes, plural } from '../format.ts'
import { runningStatus } from '../peer-access.ts'
import { recordEvent } from '../site-log.ts'
import { printable, table } from '../text.ts'

/** Room for some hundred backups of a home without adapters. */
const LIMIT = 1_000_000_000

/** @param directory that goes there, or that is filled */
export async function carry(context: CommandContext, action: 'send' | 'fetch', directory: string): Promise<void> {
  const { out, signal } = context
  const access = await openFor(context, 'never')
  const { peers } = await access.status(signal)
  const { id, name } = findPeer(peers, wanted(context, action))
  const carried = await access.backups({ do: action, peer: id, directory: resolve(directory) }, signal)
  if (out.structured) return out.document(carried)
  const what = `${carried.carried} of ${plural(carried.files, 'file')}, ${formatBytes(carried.bytes)}`
  out.line(carried.directory)
  if (action === 'send') out.note(`${what}, went to ${printable(name)}; the others were there`)
  else out.note(`${what}, came from ${printable(name)}: weft backup restore --from ${printable(directory)}`)
}

/** For whom this home keeps backups from now on, and how much. */
export async function keep(context: CommandContext): Promise<void> {
  const { flags, out, home, io } = context
  const { homePaths, keepFor } = await import('../../peer/index.ts')
  const peer = await idOf(context, wanted(context, 'keep'))
  const limit = flags.number('limit') ?? LIMIT
  await keepFor(homePaths(home, io.env), peer, limit)
  await recordEvent(context, { who: 'owner', what: 'backup.keep', target: peer, result: 'ok', facts: { limit } })
  if (out.structured) out.document({ schema: 'weft.backup-keep/1', peer, limit })
  else if (limit === 0) out.note(`nothing more is kept for ${peer}; what is here stays`)
  else out.note(`up to ${formatBytes(limit)} of backups are kept for ${peer}; there: weft backup send`)
}

/** What this home keeps of others. */
export async function kept(context: CommandContext): Promise<void> {
  const { out, home, io } = context
  const { homePaths, keptFolder, readKeeping } = await import('../../peer/index.ts')
  const places = homePaths(home, io.env)
  const all = []
  for (const [peer, limit] of await readKeeping(places)) {
    const directory = keptFolder(places, peer)
    const shelf = new BackupShelf(directory)
    const backups = (await shelf.names()).filter((name) => name.startsWith('snapshots/')).length
    all.push({ peer, limit, backups, bytes: await shelf.bytes(), directory })
  }
  if (out.structured) out.document({ schema: 'weft.backups-kept/1', kept: all })
  else if (all.length === 0) out.note('no backups of others are kept here: weft backup keep PEER')
  else {
    const rows = all.map(({ peer, backups, bytes, limit }) => [
      peer,
      String(backups),
      formatBytes(bytes),
      formatBytes(limit),
    ])
    const right = true
    out.lines(
      table([{ head: 'PEER' }, { head: 'BACKUPS', right }, { head: 'SIZE', right }, { head: 'LIMIT', right }], rows),
    )
  }
}

function wanted({ flags }: CommandContext, action: string): string {
  const peer = flags.argument(1)
  if (peer === undefined) throw new UsageError(`weft backup ${action} needs PEER`, `usage: weft backup ${action} PEER`)
  return peer
}

/** A peer that is not there now goes by its id alone. */
async function idOf({ io, home, signal }: CommandContext, peer: string): Promise<string> {
  if (isPeerId(peer)) return peer
  const status = await runningStatus(io, home, signal)
  return findPeer(status?.peers ?? [], peer).id
}
