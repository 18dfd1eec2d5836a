/** weft backup send|fetch|keep|kept: backups that lie on another peer. */
import { resolve } from 'node:path'
import type { BackupAnswer } from '../../peer/index.ts'
import { BackupMissingError, BackupShelf, claimSeed } from '../../store/index.ts'
import { isPeerId } from '../../trust/index.ts'
import { openFor } from '../context.ts'
import type { CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findPeer } from '../find-peer.ts'
import { formatBytes, plural } from '../format.ts'
import { withPassphrase } from '../passphrase.ts'
import type { PeerAccess } from '../peer-access.ts'
import { runningStatus } from '../peer-access.ts'
import { recordEvent } from '../site-log.ts'
import { printable, table } from '../text.ts'

/** Room for some hundred backups of a home without adapters. */
const LIMIT = 1_000_000_000
const NOT_KEPT = 'WEFT-CFG-013'

/** @param directory that goes there, or that is filled */
export async function carry(context: CommandContext, action: 'send' | 'fetch', directory: string): Promise<void> {
  const { out, signal, flags } = context
  const keeper = flags.argument(1) ?? (action === 'fetch' ? flags.text('from') : undefined)
  const access = await openFor(context, 'never')
  const { peers } = await access.status(signal)
  const { id, name } = findPeer(peers, keeper ?? wanted(context, action))
  const call = { do: action, peer: id, directory: resolve(directory) } as const
  const isOther = action === 'fetch' && flags.text('of') !== undefined
  const carried = isOther
    ? await claim(context, access, call)
    : await access.backups(call, signal).catch((error: unknown) => {
        // nothing is kept for this identity: it may be a new one, of somebody who has lost the one it was kept for
        const isNew = action === 'fetch' && (error as { code?: string }).code === NOT_KEPT
        if (!isNew) throw error
        return claim(context, access, call)
      })
  if (carried.schema !== 'weft.backup-carried/1') return undefined
  if (out.structured) return out.document(carried)
  const what = `${carried.carried} of ${plural(carried.files, 'file')}, ${formatBytes(carried.bytes)}`
  out.line(carried.directory)
  if (action === 'send') out.note(`${what}, went to ${printable(name)}; the others were there`)
  else out.note(`${what}, came from ${printable(name)}: weft backup restore --from ${printable(directory)}`)
}

/** More than these are not tried with one passphrase: the keeper counts each that does not fit. */
const MAX_TRIED = 4

/** What is kept for an identity that was lost, by the passphrase of the backup, which does not leave this process. */
async function claim(
  context: CommandContext,
  access: PeerAccess,
  { peer, directory }: { readonly peer: string; readonly directory: string },
): Promise<BackupAnswer> {
  const { flags, signal } = context
  const of = flags.text('of')
  const found = await access.backups({ do: 'vaults', peer, ...(of === undefined ? {} : { of }) }, signal)
  const vaults = found.schema === 'weft.backup-vaults/1' ? found.vaults : []
  if (vaults.length > MAX_TRIED)
    throw new UsageError('whose backup?', `${vaults.length} are kept there: --of PEER, the id of the one that was lost`)
  if (vaults.length === 0) throw new BackupMissingError(peer, 'backup that could be claimed')
  return withPassphrase(context, 'the backup', async (passphrase) => {
    const keys: { vault: string; seed: string }[] = []
    for (const { vault, kdf } of vaults) keys.push({ vault, seed: (await claimSeed(passphrase, kdf)).toString('hex') })
    return access.backups({ do: 'claim', peer, directory, keys }, signal)
  })
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
