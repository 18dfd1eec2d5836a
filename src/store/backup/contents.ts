/** What of a mesh home is in a backup, and how it is read while a peer may be writing to it. */
import { lstat, open, readdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { BackupSourceError } from './errors.ts'

/**
 * Keys first: an anchor that is older than its chain is right, one that is newer is a chain that lost entries. Answers,
 * models' files and logs are not in it: they are large, or can be had again, or hold what people said.
 */
export const COVERED = [
  'keys',
  'policy.json',
  'cluster',
  'cluster-left-*',
  'state',
  'partitions',
  'peers',
  'adapters',
] as const
export const NOT_COVERED = [
  'store',
  'cache',
  'downloads',
  'logs',
  'backups',
  'state/journal',
  'state/graph-parts',
] as const
/** Rounds of federations leave one each; more is somebody's mistake. */
export const MAX_FILES = 100_000
/** Why something that is in no list at all is left out. */
export const NO_PART = 'no part of a mesh home'
/** Written halfway, or of processes. */
const PASSING = /\.(?:tmp|lock|sock|pid|new)$|-journal$|-wal$|-shm$|^weft\.restoring$/
/** From the home, with `/`; what a list can hold and a restore writes. */
export const HOME_PATH = /^(?!.*(?:^|\/)\.\.(?:\/|$))[^\0\\/][^\0\\]{0,500}$/
const BUSY_MS = 5_000
/** What an SQLite file begins with, whatever it is called (https://www.sqlite.org/fileformat.html, section 1.3). */
const SQLITE = Buffer.from('SQLite format 3\0')

export interface HomeFile {
  readonly path: string
  /** Its content, in pieces of this size but the last. @throws BackupSourceError */
  readonly pieces: AsyncIterable<Uint8Array>
}

/** Something of the home that no backup has. */
export interface Omitted {
  readonly path: string
  readonly why: string
}

/** @throws BackupSourceError */
export async function* homeFiles(home: string, pieceBytes: number): AsyncIterable<HomeFile | Omitted> {
  let count = 0
  for (const top of await topsOf(home)) {
    if (typeof top !== 'string') {
      yield top
      continue
    }
    for await (const found of pathsIn(home, top)) {
      if (++count > MAX_FILES) throw new BackupSourceError(home, `it has more than ${MAX_FILES} files to back up`)
      if (typeof found !== 'string') {
        yield found
        continue
      }
      const file = await opened(home, found)
      if (file === undefined) continue
      try {
        yield { path: found, pieces: read(home, found, file, pieceBytes) }
      } finally {
        await file.close()
      }
    }
  }
}

/** What is covered, in its order; and what lies in the home that is neither that nor known to be left out. */
async function topsOf(home: string): Promise<readonly (string | Omitted)[]> {
  const names = (await namesIn(home, '')).filter((name) => !PASSING.test(name))
  const isOf = (pattern: string, name: string): boolean =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
  const covered = COVERED.flatMap((pattern) => names.filter((name) => isOf(pattern, name)))
  const known = new Set<string>([...covered, ...NOT_COVERED])
  const others = names.filter((name) => !known.has(name))
  return [...covered, ...others.map((path) => ({ path, why: NO_PART }))]
}

async function* pathsIn(home: string, path: string): AsyncIterable<string | Omitted> {
  if ((NOT_COVERED as readonly string[]).includes(path) || PASSING.test(path)) return
  const stats = await lstat(join(home, path)).catch(() => undefined)
  if (stats === undefined) return
  // A link leads out of the home: what it names is not the home's.
  if (stats.isSymbolicLink()) yield { path, why: 'a link' }
  else if (stats.isDirectory()) for (const name of await namesIn(home, path)) yield* pathsIn(home, `${path}/${name}`)
  else if (!stats.isFile()) yield { path, why: 'no plain file' }
  else if (HOME_PATH.test(path)) yield path
  else yield { path, why: 'its name is too long, or has a backslash' }
}

async function namesIn(home: string, path: string): Promise<string[]> {
  const names = await readdir(join(home, path)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new BackupSourceError(home, `${path} cannot be read: ${(error as Error).message}`, error)
  })
  return names.toSorted((one, other) => (one < other ? -1 : 1))
}

/** Undefined: it is gone meanwhile. */
function opened(home: string, path: string): Promise<FileHandle | undefined> {
  return open(join(home, path), 'r').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new BackupSourceError(home, `${path} cannot be read: ${(error as Error).message}`, error)
  })
}

/**
 * A database is read under its lock: a writer waits, and no entry is read by half. The file stays open until the lock is given
 * back: a process loses its locks of a file with the first of its descriptors that is closed.
 */
async function* read(home: string, path: string, file: FileHandle, pieceBytes: number): AsyncIterable<Uint8Array> {
  let database: DatabaseSync | undefined
  try {
    if (await isDatabase(file)) {
      database = new DatabaseSync(join(home, path))
      database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
      database.exec('BEGIN')
      database.prepare('SELECT count(*) FROM sqlite_master').get()
    }
    for (let at = 0; ;) {
      const piece = await fill(file, Buffer.alloc(pieceBytes), at)
      if (piece.length > 0) yield piece
      if (piece.length < pieceBytes) return
      at += piece.length
    }
  } catch (error) {
    throw new BackupSourceError(home, `${path} cannot be read: ${(error as Error).message}`, error)
  } finally {
    database?.close()
  }
}

/** As much as there is, however the kernel cuts it. */
async function fill(file: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let at = 0
  while (at < buffer.length) {
    const { bytesRead } = await file.read(buffer, at, buffer.length - at, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return buffer.subarray(0, at)
}

async function isDatabase(file: FileHandle): Promise<boolean> {
  return SQLITE.equals(await fill(file, Buffer.alloc(SQLITE.length), 0))
}
