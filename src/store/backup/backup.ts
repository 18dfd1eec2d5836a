/** Makes a backup of a mesh home, looks through one, and puts one back. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { writeFileAtomic } from '../disk.ts'
import { homeFiles } from './contents.ts'
import { BackupDamagedError, BackupMissingError, BackupOtherIdentityError, BackupRolledBackError } from './errors.ts'
import { PIECE_BYTES } from './vault.ts'
import type { Vault } from './vault.ts'

/** Lies in a home while it is being restored, and stays when that is interrupted. */
export const RESTORING = 'weft.restoring'

const PATH = /^(?!.*(?:^|\/)\.\.(?:\/|$))[^\0\\/][^\0\\]{0,500}$/

const listSchema = z.strictObject({
  schema: z.literal('weft.backup-list/1'),
  /** PeerId, or empty where the home had no identity. */
  peer: z.string().max(128),
  /** ISO 8601. */
  at: z.string().max(40),
  version: z.string().max(40),
  files: z
    .array(
      z.strictObject({
        path: z.string().regex(PATH),
        bytes: z.number().int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        pieces: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
      }),
    )
    .max(10_000),
})

export type BackupList = z.infer<typeof listSchema>

export interface BackupSummary {
  readonly snapshot: string
  readonly peer: string
  readonly at: string
  readonly files: number
  readonly bytes: number
}

export interface BackupInit {
  readonly home: string
  readonly peer: string
  /** Milliseconds since 1970. */
  readonly wall: number
  readonly version: string
  /** Called after each file, with how many there were. */
  readonly progress?: (files: number) => void
}

/** @throws BackupOtherIdentityError when the folder is another peer's; DiskFullError, StoreUnwritableError */
export async function createBackup(vault: Vault, init: BackupInit): Promise<BackupSummary> {
  const { home, peer, wall, version, progress } = init
  const before = await newest(vault)
  if (before !== undefined && before.list.peer !== peer)
    throw new BackupOtherIdentityError(home, before.list.peer, peer)
  const files: BackupList['files'] = []
  for await (const { path, content } of homeFiles(home)) {
    const pieces: string[] = []
    for (let at = 0; at < content.length; at += PIECE_BYTES)
      pieces.push(await vault.put(content.subarray(at, at + PIECE_BYTES)))
    files.push({ path, bytes: content.length, sha256: sha256(content), pieces })
    progress?.(files.length)
  }
  const at = new Date(wall).toISOString()
  const list: BackupList = { schema: 'weft.backup-list/1', peer, at, version, files }
  const snapshot = nameAfter(at, before?.snapshot)
  await vault.putList(snapshot, JSON.stringify(list))
  return summaryOf(snapshot, list)
}

/** Rises, also when the clock was set back. */
function nameAfter(at: string, last: string | undefined): string {
  const plain = at.replaceAll(/[:.]/g, '-')
  return last === undefined || plain > last ? plain : `${last}-1`
}

async function newest(vault: Vault): Promise<{ snapshot: string; list: BackupList } | undefined> {
  const snapshot = (await vault.lists()).at(-1)
  return snapshot === undefined ? undefined : { snapshot, list: await readList(vault, snapshot) }
}

/** @throws BackupDamagedError */
export async function readList(vault: Vault, snapshot: string): Promise<BackupList> {
  const text = await vault.getList(snapshot)
  try {
    return listSchema.parse(JSON.parse(text))
  } catch {
    throw new BackupDamagedError(`the list ${snapshot}`, 'is none')
  }
}

export async function listBackups(vault: Vault): Promise<readonly BackupSummary[]> {
  const all: BackupSummary[] = []
  for (const snapshot of await vault.lists()) all.push(summaryOf(snapshot, await readList(vault, snapshot)))
  return all
}

function summaryOf(snapshot: string, { peer, at, files }: BackupList): BackupSummary {
  return { snapshot, peer, at, files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) }
}

/** Reads every piece. @param snapshot the newest, where none is named. @throws BackupMissingError, BackupDamagedError */
export async function verifyBackup(vault: Vault, snapshot?: string): Promise<BackupSummary> {
  const name = await named(vault, snapshot)
  const list = await readList(vault, name)
  for (const file of list.files) await contentOf(vault, file)
  return summaryOf(name, list)
}

async function named(vault: Vault, snapshot: string | undefined): Promise<string> {
  const name = snapshot ?? (await vault.lists()).at(-1)
  if (name === undefined) throw new BackupMissingError(vault.directory, 'backup that is complete')
  return name
}

async function contentOf(
  vault: Vault,
  { path, bytes, pieces, sha256: wanted }: BackupList['files'][number],
): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (const piece of pieces) parts.push(await vault.get(piece))
  const content = Buffer.concat(parts)
  if (content.length !== bytes || sha256(content) !== wanted)
    throw new BackupDamagedError(path, 'is not what was written')
  return content
}

/**
 * Looks through all of it before anything is written; what is interrupted then leaves a mark, and the home does not start.
 * @param own identity of the home; undefined: it has none
 * @throws BackupOtherIdentityError, BackupRolledBackError, BackupDamagedError, DiskFullError
 */
export async function restoreBackup(
  vault: Vault,
  init: { readonly home: string; readonly own: string | undefined; readonly snapshot?: string | undefined },
): Promise<BackupSummary> {
  const { home, own } = init
  const snapshot = await named(vault, init.snapshot)
  const list = await readList(vault, snapshot)
  if (own !== undefined && own !== list.peer) throw new BackupOtherIdentityError(home, list.peer, own)
  const contents: Buffer[] = []
  for (const file of list.files) contents.push(await contentOf(vault, file))
  if (!existsSync(join(home, RESTORING))) await refuseRollBack(home, list, contents)
  await mkdir(home, { recursive: true, mode: 0o700 })
  await writeFileAtomic(join(home, RESTORING), `${snapshot}\n`, { mode: 0o600 })
  for (const [index, { path }] of list.files.entries()) {
    const target = join(home, path)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    await writeFileAtomic(target, contents[index]!, { mode: 0o600 })
  }
  await rm(join(home, RESTORING))
  return summaryOf(snapshot, list)
}

/** Every chain has an anchor in `keys/`, which says how far it was. */
async function refuseRollBack(home: string, list: BackupList, contents: readonly Buffer[]): Promise<void> {
  const names = await readdir(join(home, 'keys')).catch((): string[] => [])
  for (const name of names.filter((each) => each.endsWith('.anchor'))) {
    const here = seqOf(await readFile(join(home, 'keys', name)))
    const at = list.files.findIndex(({ path }) => path === `keys/${name}`)
    const then = at < 0 ? 0 : seqOf(contents[at]!)
    if (here > then) throw new BackupRolledBackError(name.replace(/\.anchor$/, ''), here, then)
  }
}

function seqOf(anchor: Uint8Array): number {
  try {
    const { seq } = JSON.parse(Buffer.from(anchor).toString('utf8')) as { seq?: unknown }
    return typeof seq === 'number' ? seq : 0
  } catch {
    return 0
  }
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
