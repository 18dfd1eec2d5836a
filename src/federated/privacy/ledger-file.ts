/**
 * The file of a privacy ledger (SQLite), and its anchor: a small file in another folder that says how far the ledger
 * was. Each access reads and checks the whole chain under the lock of the database, so that nothing in memory is believed.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { bodyOf, EMPTY_HEAD, entryHash, entrySchema, headBytes } from './ledger-entries.ts'
import type { Entry, EntryContent, LedgerHead } from './ledger-entries.ts'
import {
  ClockBackError,
  LedgerBusyError,
  LedgerDamagedError,
  LedgerRolledBackError,
  LedgerUnwritableError,
} from './ledger-errors.ts'

export interface LedgerSigner {
  sign(bytes: Uint8Array): Uint8Array
  verify(bytes: Uint8Array, signature: Uint8Array): boolean
}

export interface LedgerPlaces {
  readonly path: string
  /** In another folder, best on another disk: whoever puts an old ledger back must not find both together. */
  readonly anchor: string
}

/** An entry is some hundred bytes. */
const MAX_ANCHOR_BYTES = 4096
const MAX_BODY = 16_384
/** Clocks are corrected by minutes; by more, somebody set it back. */
const CLOCK_SLACK_MS = 300_000
/** SQLite's result codes. */
const [BUSY, LOCKED, CORRUPT, NOT_A_DATABASE] = [5, 6, 11, 26]
const TABLE = `CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL, signature BLOB NOT NULL) STRICT`

/** One transaction. */
export interface LedgerAccess {
  readonly entries: readonly Entry[]
  readonly head: LedgerHead
  append(what: EntryContent): LedgerHead
}

export interface LedgerFile {
  /**
   * Runs `action` under the lock; what it appended is durable, and anchored, when this returns.
   * @throws LedgerDamagedError, LedgerRolledBackError, LedgerUnwritableError, LedgerBusyError
   */
  access<T>(action: (ledger: LedgerAccess) => T): T
}

/** @param witnessed heads that this site or its peers saw: the ledger must still contain them */
export function openLedgerFile(
  needs: {
    readonly signer: LedgerSigner
    wall(): number
    witnessed(): readonly LedgerHead[]
    readonly busyMilliseconds: number
  },
  places: LedgerPlaces,
): LedgerFile {
  let seen = EMPTY_HEAD
  const begin = (database: DatabaseSync): LedgerAccess & { readonly added: () => boolean } => {
    database.exec('BEGIN IMMEDIATE')
    database.exec(TABLE)
    const { entries, hashes } = readChain(database, needs.signer, places.path)
    const contains = ({ seq, hash }: LedgerHead): boolean => seq === 0 || hashes[seq - 1] === hash
    const anchored = readAnchor(places, needs.signer, entries.length > 0)
    for (const head of [anchored, seen, ...needs.witnessed()]) {
      if (contains(head)) continue
      const facts = { details: { path: places.path, entries: entries.length, expected: head.seq } }
      if (head.seq > entries.length) {
        throw new LedgerRolledBackError(
          `the ledger ${places.path} has ${entries.length} entries, and had ${head.seq} before`,
          facts,
        )
      }
      throw new LedgerDamagedError(`entry ${head.seq} of the ledger ${places.path} is another than it was`, facts)
    }
    let head = headOf(hashes)
    let added = false
    const last = (): Entry | undefined => entries.at(-1)
    return {
      entries,
      get head() {
        return head
      },
      added: () => added,
      append(what) {
        const wall = needs.wall()
        const before = last()?.wall ?? wall
        if (wall < before - CLOCK_SLACK_MS) {
          throw new ClockBackError(`the clock is ${Math.round((before - wall) / 1000)} s behind the last entry`)
        }
        const entry: Entry = { seq: head.seq + 1, previous: head.hash, wall: Math.max(wall, before), what }
        const body = bodyOf(entry)
        head = { seq: entry.seq, hash: entryHash(body) }
        database
          .prepare('INSERT INTO entries VALUES (?, ?, ?, ?)')
          .run(head.seq, body, head.hash, needs.signer.sign(headBytes(head)))
        entries.push(entry)
        hashes.push(head.hash)
        added = true
        return head
      },
    }
  }
  return {
    access: (action) =>
      explained(places.path, () => {
        if (!existsSync(places.anchor) && !existsSync(places.path)) writeAnchor(places, needs.signer, EMPTY_HEAD)
        // A file that was put in another's place must be seen: nothing is kept open.
        const database = openDatabase(places.path, needs.busyMilliseconds)
        try {
          const ledger = begin(database)
          const result = action(ledger)
          database.exec('COMMIT')
          seen = ledger.head
          if (ledger.added()) anchorNow(database, places, needs.signer)
          return result
        } finally {
          database.close()
        }
      }),
  }
}

function openDatabase(path: string, busyMilliseconds: number): DatabaseSync {
  // The file is the site's own: others on the machine need not know which data were used.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const database = new DatabaseSync(path)
  try {
    database.exec(`PRAGMA busy_timeout = ${busyMilliseconds}`)
    database.exec('PRAGMA journal_mode = DELETE')
    // EXTRA syncs the folder too, so that a lost power supply takes back no charge.
    database.exec('PRAGMA synchronous = EXTRA')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function readChain(database: DatabaseSync, signer: LedgerSigner, path: string): { entries: Entry[]; hashes: string[] } {
  const entries: Entry[] = []
  const hashes: string[] = []
  const damaged = (why: string): LedgerDamagedError =>
    new LedgerDamagedError(`the ledger ${path} is damaged at entry ${entries.length + 1}`, { why, details: { path } })
  let signature: unknown
  for (const row of database.prepare('SELECT seq, body, hash, signature FROM entries ORDER BY seq').iterate()) {
    const { seq, body, hash } = row
    if (typeof body !== 'string' || body.length > MAX_BODY || typeof hash !== 'string') throw damaged('it is no entry')
    if (entryHash(body) !== hash) throw damaged('its text is not the one that was hashed')
    const parsed = entrySchema.safeParse(parsedJson(body))
    if (!parsed.success) throw damaged('its fields are not those of an entry')
    const entry = parsed.data
    if (seq !== entries.length + 1 || entry.seq !== seq) throw damaged('its number does not follow')
    if (entry.previous !== headOf(hashes).hash) throw damaged('it does not follow the one before')
    entries.push(entry)
    hashes.push(hash)
    signature = row['signature']
  }
  const isSigned = signature instanceof Uint8Array && signer.verify(headBytes(headOf(hashes)), signature)
  // The last signature covers the chain before it.
  if (entries.length > 0 && !isSigned) throw damaged('the last entry is not signed by this site')
  return { entries, hashes }
}

function headOf(hashes: readonly string[]): LedgerHead {
  return hashes.length === 0 ? EMPTY_HEAD : { seq: hashes.length, hash: hashes.at(-1)! }
}

function readAnchor({ anchor, path }: LedgerPlaces, signer: LedgerSigner, needed: boolean): LedgerHead {
  if (!existsSync(anchor)) {
    if (!needed) return EMPTY_HEAD
    throw new LedgerDamagedError(`the anchor ${anchor} of the ledger ${path} is gone`)
  }
  const value = statSync(anchor).size > MAX_ANCHOR_BYTES ? undefined : parsedJson(readFileSync(anchor, 'utf8'))
  const { seq, hash, signature } = (value ?? {}) as Record<string, unknown>
  if (typeof seq === 'number' && typeof hash === 'string' && typeof signature === 'string') {
    const head = { seq, hash }
    if (signer.verify(headBytes(head), new Uint8Array(Buffer.from(signature, 'hex')))) return head
  }
  throw new LedgerDamagedError(`the anchor ${anchor} is not one that this site signed`)
}

/** The newest head, under the lock: a slower process must not put an older one over it. */
function anchorNow(database: DatabaseSync, places: LedgerPlaces, signer: LedgerSigner): void {
  database.exec('BEGIN IMMEDIATE')
  const row = database.prepare('SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1').get()
  writeAnchor(places, signer, { seq: Number(row?.['seq']), hash: String(row?.['hash']) })
  database.exec('ROLLBACK')
}

function writeAnchor({ anchor }: LedgerPlaces, signer: LedgerSigner, head: LedgerHead): void {
  const signature = Buffer.from(signer.sign(headBytes(head))).toString('hex')
  const temporary = `${anchor}.new`
  const file = openSync(temporary, 'w', 0o600)
  try {
    writeSync(file, `${JSON.stringify({ ...head, signature })}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, anchor)
  const folder = openSync(dirname(anchor), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** SQLite's and the file system's refusals as coded errors. */
function explained<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { code, errcode, message } = error as { code?: unknown; errcode?: unknown; message?: unknown }
    const facts = { why: String(message), details: { path }, cause: error }
    const base = typeof errcode === 'number' ? errcode & 0xff : undefined
    if (base === BUSY || base === LOCKED)
      throw new LedgerBusyError(`the ledger ${path} is held by another process`, facts)
    if (base === CORRUPT || base === NOT_A_DATABASE)
      throw new LedgerDamagedError(`the ledger ${path} is no ledger`, facts)
    const isFile = typeof code === 'string' && /^E[A-Z]+$/.test(code)
    if (base !== undefined || isFile) throw new LedgerUnwritableError(`cannot write the ledger ${path}`, facts)
    throw error
  }
}
