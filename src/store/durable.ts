/** What is acknowledged outlives a lost power supply: SQLite files and small ones, changed by one process at a time. */
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
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
  const file = openSync(temporary, 'w', 0o600)
  try {
    writeSync(file, text)
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

/** Undefined: it is no JSON. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
