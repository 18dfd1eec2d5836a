/** What is acknowledged outlives a lost power supply: SQLite files and small ones, changed by one process at a time. */
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, renameSync, statfsSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Mode 0600, from before anything is in it: others on the machine need not know what a site has.
 * @param tables made where they are not there
 */
export function openDurableDatabase(path: string, busyMilliseconds: number, tables = ''): DatabaseSync {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
  const database = new DatabaseSync(path)
  try {
    database.exec(`PRAGMA busy_timeout = ${busyMilliseconds}`)
    database.exec('PRAGMA journal_mode = DELETE')
    // EXTRA syncs the folder too, so that a lost power supply takes nothing back.
    database.exec('PRAGMA synchronous = EXTRA')
    database.exec(tables)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** The old text or the new one is there, whatever happens meanwhile; mode 0600. */
export function replaceDurably(path: string, text: string): void {
  const temporary = `${path}.new`
  const bytes = Buffer.from(text)
  const file = openSync(temporary, 'w', 0o600)
  try {
    // a disk that has little room takes a part, and says so by the number alone
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Ends a transaction that failed; what it failed with is told by whoever began it. */
export function undoTransaction(database: DatabaseSync): void {
  try {
    database.exec('ROLLBACK')
  } catch {
    // SQLite has done it by itself, or cannot while the disk is full: then whoever opens the file next does it.
  }
}

/** SQLite's result codes. */
const [BUSY, LOCKED, SHORT_READ] = [5, 6, 522]
/** PERM, READONLY, IOERR, FULL, CANTOPEN: of the disk, not of what stands on it. */
const OF_THE_DISK = new Set([3, 8, 10, 13, 14])

export interface DiskTrouble {
  /** `unwritable`: the disk is full or fails, or the file may not be written; nothing was changed. */
  readonly kind: 'busy' | 'damaged' | 'unwritable'
  readonly why: string
  /** With `free`, bytes of its disk, where it is known and it is about writing. */
  readonly details: Readonly<Record<string, unknown>>
}

/** What SQLite, or the file system, says of a file of state; undefined: it is another error. */
export function diskTrouble(path: string, error: unknown): DiskTrouble | undefined {
  const { code, errcode, message } = error as { code?: unknown; errcode?: unknown; message?: unknown }
  const why = String(message)
  const base = typeof errcode === 'number' ? errcode & 0xff : undefined
  if (base === BUSY || base === LOCKED) return { kind: 'busy', why, details: { path } }
  if (base !== undefined && (!OF_THE_DISK.has(base) || errcode === SHORT_READ))
    return { kind: 'damaged', why, details: { path } }
  const isFile = typeof code === 'string' && /^E[A-Z]+$/.test(code)
  if (base === undefined && !isFile) return undefined
  return { kind: 'unwritable', why, details: { path, ...freeBytes(path) } }
}

function freeBytes(path: string): { readonly free?: number } {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return { free: bavail * bsize }
  } catch {
    return {}
  }
}

/** Undefined: it is no JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
