/** Makes a backup of a mesh home, looks through one, and puts one back. */
import { createHash } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import * as z from 'zod'
import { createTemporary, explainDisk, writeAll, writeFileAtomic } from '../disk.ts'
import { HOME_PATH, homeFiles, MAX_FILES } from './contents.ts'
import type { Omitted } from './contents.ts'
import {
  BackupDamagedError,
  BackupMissingError,
  BackupOtherIdentityError,
  BackupRolledBackError,
  BackupSourceError,
} from './errors.ts'
import { MAX_LIST_BYTES, PIECE_BYTES } from './vault.ts'
import type { Vault } from './vault.ts'
import { needFolders } from '../folders.ts'

/** Lies in a home while it is being restored, with the name of the backup, and stays when that is interrupted. */
export const RESTORING = 'weft.restoring'

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
        path: z.string().regex(HOME_PATH),
        bytes: z.number().int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        pieces: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
      }),
    )
    .max(MAX_FILES),
  /** What the home had and the backup has not; those of older versions do not say. */
  omitted: z.array(z.strictObject({ path: z.string(), why: z.string() })).optional(),
})

export type BackupList = z.infer<typeof listSchema>

export interface BackupSummary {
  readonly snapshot: string
  readonly peer: string
  readonly at: string
  readonly files: number
  readonly bytes: number
  readonly omitted: readonly Omitted[]
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
  const omitted: Omitted[] = []
  for await (const found of homeFiles(home, PIECE_BYTES)) {
    if ('why' in found) {
      omitted.push(found)
      continue
    }
    const hash = createHash('sha256')
    const pieces: string[] = []
    let bytes = 0
    for await (const piece of found.pieces) {
      hash.update(piece)
      bytes += piece.length
      pieces.push(await vault.put(piece))
    }
    files.push({ path: found.path, bytes, sha256: hash.digest('hex'), pieces })
    progress?.(files.length)
  }
  const at = new Date(wall).toISOString()
  const list: BackupList = { schema: 'weft.backup-list/1', peer, at, version, files, omitted }
  const snapshot = nameAfter(at, before?.snapshot)
  const text = JSON.stringify(list)
  if (Buffer.byteLength(text) > MAX_LIST_BYTES) throw new BackupSourceError(home, 'it is too large for one list')
  await vault.putList(snapshot, text)
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

function summaryOf(snapshot: string, { peer, at, files, omitted = [] }: BackupList): BackupSummary {
  return { snapshot, peer, at, files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0), omitted }
}

/** Reads every piece. @param snapshot the newest, where none is named. @throws BackupMissingError, BackupDamagedError */
export async function verifyBackup(vault: Vault, snapshot?: string): Promise<BackupSummary> {
  const name = await named(vault, snapshot)
  const list = await readList(vault, name)
  for (const file of list.files) await readThrough(vault, file)
  return summaryOf(name, list)
}

async function named(vault: Vault, snapshot: string | undefined): Promise<string> {
  const name = snapshot ?? (await vault.lists()).at(-1)
  if (name === undefined) throw new BackupMissingError(vault.directory, 'backup that is complete')
  return name
}

type ListedFile = BackupList['files'][number]

/** Its pieces, one after another. @throws BackupDamagedError, at its end where it is not what was written */
async function* piecesOf(vault: Vault, { path, bytes, pieces, sha256 }: ListedFile): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256')
  let length = 0
  for (const name of pieces) {
    const piece = await vault.get(name)
    hash.update(piece)
    length += piece.length
    yield piece
  }
  if (length !== bytes || hash.digest('hex') !== sha256) throw new BackupDamagedError(path, 'is not what was written')
}

async function readThrough(vault: Vault, file: ListedFile): Promise<void> {
  for await (const piece of piecesOf(vault, file)) void piece
}

/** Whole or not at all, for its owner alone. @throws BackupDamagedError, DiskFullError, StoreUnwritableError */
async function putBack(vault: Vault, target: string, file: ListedFile): Promise<void> {
  const folder = dirname(target)
  await needFolders(folder, 0o700)
  const temporary = await createTemporary(folder, basename(target).slice(0, 100), 0o600).catch(
    async (error: unknown) => {
      throw await explainDisk(error, folder, file.bytes)
    },
  )
  try {
    await temporary.handle.chmod(0o600)
    let at = 0
    for await (const piece of piecesOf(vault, file)) {
      await writeAll(temporary.handle, piece, at)
      at += piece.length
    }
    await temporary.commit(target)
  } catch (error) {
    await temporary.discard()
    throw await explainDisk(error, folder, file.bytes)
  }
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
  for (const file of list.files) await readThrough(vault, file)
  await refuseRollBack(vault, home, list)
  await needFolders(home, 0o700)
  await writeFileAtomic(join(home, RESTORING), `${snapshot}\n`, { mode: 0o600 })
  for (const file of list.files) await putBack(vault, join(home, file.path), file)
  await rm(join(home, RESTORING))
  return summaryOf(snapshot, list)
}

/**
 * Every chain has an anchor in `keys/`, which says how far it was. Those of a restore that was interrupted are no further than
 * the backup that it was of, so they need no exception.
 */
async function refuseRollBack(vault: Vault, home: string, list: BackupList): Promise<void> {
  const names = await readdir(join(home, 'keys')).catch((): string[] => [])
  for (const name of names.filter((each) => each.endsWith('.anchor'))) {
    const here = seqOf(await readFile(join(home, 'keys', name)))
    const file = list.files.find(({ path }) => path === `keys/${name}`)
    const pieces: Uint8Array[] = []
    if (file !== undefined) for await (const piece of piecesOf(vault, file)) pieces.push(piece)
    const then = seqOf(Buffer.concat(pieces))
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
