/** weft backup create|verify|restore|ls (and those of backup-elsewhere.ts): keys, policy, ledger, audit log and manifests of a home, encrypted, in a folder. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EXIT } from '../../errors.ts'
import {
  COVERED,
  createBackup,
  isVault,
  listBackups,
  NO_PART,
  NOT_COVERED,
  openVault,
  parsedJson,
  restoreBackup,
  verifyBackup,
  writeFileAtomic,
} from '../../store/index.ts'
import type { BackupSummary, Vault } from '../../store/index.ts'
import { identityOwner } from '../../trust/index.ts'
import type { Command, CommandContext } from '../context.ts'
import { NotHereError, UsageError } from '../errors.ts'
import { formatBytes, plural } from '../format.ts'
import { newPassphrase, withPassphrase } from '../passphrase.ts'
import { recordEvent } from '../site-log.ts'
import { carry, keep, kept } from './backup-elsewhere.ts'
import { printable, table } from '../text.ts'
import { packageVersion } from '../version.ts'

export const command: Command = async (context) => {
  const action = context.flags.required(0)
  if (action === 'create') return create(context)
  if (action === 'verify') return verify(context)
  if (action === 'keep') return keep(context)
  if (action === 'kept') return kept(context)
  if (action === 'send') return carry(context, action, await folderOf(context))
  if (action === 'fetch') return carry(context, action, fetchFolder(context))
  return action === 'restore' ? restore(context) : list(context)
}

const lastPath = (home: string): string => join(home, 'state', 'backup.json')

/** The folder that is named, or the one of the last backup. @throws UsageError */
async function folderOf({ flags, home }: CommandContext): Promise<string> {
  const given = flags.text('to') ?? flags.text('from')
  if (given !== undefined) return resolve(given)
  const text = await readFile(lastPath(home), 'utf8').catch(() => undefined)
  const { to: last } = (text === undefined ? {} : (parsedJson(text) ?? {})) as { to?: unknown }
  if (typeof last === 'string') return last
  throw new UsageError('which folder?', 'weft backup create --to DIR, or --from DIR')
}

function fetchFolder({ flags }: CommandContext): string {
  const to = flags.text('to')
  if (to === undefined) throw new UsageError('into which folder?', 'weft backup fetch PEER --to DIR')
  return to
}

async function create(context: CommandContext): Promise<number> {
  const { home, io, out } = context
  const directory = await folderOf(context)
  const peer = await identityOwner(join(home, 'keys'))
  if (peer === undefined) throw new NotHereError('identity', join(home, 'keys'), 'there is nothing to back up yet')
  const vault = isVault(directory)
    ? await opened(context, directory)
    : await openVault(directory, await newPassphrase(context, directory), { create: true })
  // First, so that the backup has it: a home in which nothing else was done since may be put back over itself.
  const event = { who: 'owner', what: 'backup.create' } as const
  await recordEvent(context, { ...event, result: 'allowed' })
  const init = { home, peer, wall: io.clock.wall(), version: packageVersion() }
  const made = await createBackup(vault, init).catch(async (error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed'
    await recordEvent(context, { ...event, result: 'failed', facts: { code } })
    throw error
  })
  const note = { schema: 'weft.last-backup/1', at: made.at, to: directory, snapshot: made.snapshot }
  await writeFileAtomic(lastPath(home), `${JSON.stringify(note)}\n`, { mode: 0o600 })
  if (out.structured)
    out.document({ schema: 'weft.backup/1', directory, ...made, covered: COVERED, not_covered: NOT_COVERED })
  else {
    out.line(made.snapshot)
    out.note(`${told(made)} in ${directory}`)
    out.note(`covered: ${COVERED.join(', ')}; not covered: ${NOT_COVERED.join(', ')}`)
    tellOmitted(context, made)
  }
  return made.omitted.some(({ why }) => why !== NO_PART) ? EXIT.partial : EXIT.ok
}

function tellOmitted({ out }: CommandContext, { omitted }: BackupSummary): void {
  const others = omitted.filter(({ why }) => why === NO_PART).map(({ path }) => printable(path))
  if (others.length > 0) out.note(`not in it, being no part of a mesh home: ${others.join(', ')}`)
  for (const { path, why } of omitted)
    if (why !== NO_PART) out.note(`${out.paintNote('red', 'not in it')}: ${printable(path)} (${why})`)
}

function opened(context: CommandContext, directory: string): Promise<Vault> {
  return withPassphrase(context, directory, (passphrase) => openVault(directory, passphrase, { create: false }))
}

async function verify(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const directory = await folderOf(context)
  const found = await verifyBackup(await opened(context, directory), flags.argument(1))
  if (out.structured) out.document({ schema: 'weft.backup-verified/1', directory, ok: true, ...found })
  else {
    out.line(`${found.snapshot}: ${told(found)}, every piece as it was written`)
    tellOmitted(context, found)
  }
}

async function restore(context: CommandContext): Promise<void> {
  const { flags, home, out } = context
  const directory = await folderOf(context)
  const { HomeBusyError, homePaths, lockHolder } = await import('../../peer/index.ts')
  const holder = await lockHolder(homePaths(home, context.io.env).lock)
  if (holder !== undefined) throw new HomeBusyError(home, holder)
  const own = await identityOwner(join(home, 'keys'))
  const vault = await opened(context, directory)
  const found = await restoreBackup(vault, { home, own, snapshot: flags.argument(1) })
  await recordEvent(context, { who: 'owner', what: 'backup.restore', target: found.snapshot, result: 'ok' })
  if (out.structured) out.document({ schema: 'weft.backup-restored/1', directory, home, ...found })
  else {
    out.line(home)
    out.note(`${told(found)} of ${found.at} are back; models are fetched again when they are needed`)
    tellOmitted(context, found)
    out.note('if the peer that this was still runs elsewhere, stop it: two with one identity are not let in')
  }
}

async function list(context: CommandContext): Promise<void> {
  const { out } = context
  const directory = await folderOf(context)
  const all = await listBackups(await opened(context, directory))
  if (out.structured) out.document({ schema: 'weft.backups/1', directory, backups: all })
  else if (all.length === 0) out.note('no backup there is complete')
  else {
    const rows = all.map(({ snapshot, at, files, bytes }) => [snapshot, at, String(files), formatBytes(bytes)])
    out.lines(
      table(
        [{ head: 'SNAPSHOT' }, { head: 'AT' }, { head: 'FILES', right: true }, { head: 'SIZE', right: true }],
        rows,
      ),
    )
  }
}

function told({ files, bytes }: BackupSummary): string {
  return `${plural(files, 'file')}, ${formatBytes(bytes)}`
}
