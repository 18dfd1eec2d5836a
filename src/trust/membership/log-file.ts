/**
 * The log of a home: a SQLite file, and an anchor in the keys folder that says, signed by this peer, how far it was. Whoever
 * puts an old log back must find both; what both together forget, the first contact with another member brings back.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { WeftError } from '../../errors.ts'
import { diskTrouble, openDurableDatabase, parsedJson, replaceDurably, undoTransaction } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { verify } from '../identity.ts'
import type { EntrySigner } from './entry.ts'
import { LogDamagedError, LogMovedError, LogRolledBackError, LogUnwritableError } from './errors.ts'
import { createSegments, SEGMENT_ENTRIES, SEGMENT_TABLE } from './log-segments.ts'
import type { Segments } from './log-segments.ts'
import { MAX_FORKS } from './log-store.ts'
import type { LogStore, StoredEntry, StoredFork, StoreChange } from './log-store.ts'
import { headSchema } from './schema.ts'
import type { LogHead } from './types.ts'

const TABLES = `
CREATE TABLE IF NOT EXISTS entries (height INTEGER PRIMARY KEY, hash TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS snapshot (height INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS forks (id INTEGER PRIMARY KEY, fork TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS beat (id INTEGER PRIMARY KEY, beat TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS certificates (peer TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`
const DOMAIN = 'weft membership anchor 1\n'
const MAX_ANCHOR_BYTES = 4_096
/** Another process of the home changes it for milliseconds. */
const BUSY_MS = 5_000
/** 256 KiB: less is not worth writing the file anew. */
const LEAST_FREE_PAGES = 64

export interface LogPlaces {
  readonly path: string
  readonly anchor: string
}

/** @param segment entries that are packed together. @throws LogDamagedError, LogRolledBackError */
export function openLogFile(places: LogPlaces, signer: EntrySigner, segment = SEGMENT_ENTRIES): LogStore {
  const { path } = places
  const damaged = <T>(action: () => T): T => {
    try {
      return action()
    } catch (error) {
      if (error instanceof WeftError) throw error
      const trouble = diskTrouble(path, error)
      if (trouble !== undefined && trouble.kind !== 'damaged') throw new LogUnwritableError(trouble, error)
      throw new LogDamagedError(path, (error as Error).message, error)
    }
  }
  const database = damaged(() => openDurableDatabase(path, BUSY_MS, TABLES + SEGMENT_TABLE))
  const segments = createSegments(database, segment)
  const hashAt = (height: number): string | undefined =>
    damaged(() => {
      const row = database.prepare('SELECT hash FROM entries WHERE height = ?').get(height)
      return row === undefined ? segments.hashAt(height) : String(row['hash'])
    })
  const size = (): number =>
    damaged(() => {
      const row = database.prepare('SELECT count(*) AS n, max(height) AS top FROM entries').get()
      const [rows, top] = [Number(row?.['n'] ?? 0), row?.['top'] ?? null]
      const count = segments.size() + rows
      // what is packed lies before a checkpoint, which is not
      if (count > 0 && (rows === 0 || top !== count - 1)) throw new LogDamagedError(path, 'an entry is missing')
      return count
    })
  try {
    checkAnchor(places, signer, hashAt, size())
  } catch (error) {
    database.close()
    throw error
  }
  let forks: StoredFork[] | undefined
  return {
    path,
    hashAt,
    size,
    read: (from, limit) => damaged(() => readAll(database, segments, from, limit)),
    snapshot: () =>
      damaged(() => {
        const row = database.prepare('SELECT height, text FROM snapshot').get()
        return row === undefined ? undefined : { height: Number(row['height']), text: String(row['text']) }
      }),
    forks: () => {
      try {
        return (forks = damaged(() => readForks(database)))
      } catch (error) {
        // a disk that is full may keep SQLite from undoing what it could not write; what was read is as good until then
        if (forks !== undefined && error instanceof LogUnwritableError) return forks
        throw error
      }
    },
    change: (change) =>
      damaged(() => {
        const isPacked = write(database, segments, change, (before) => {
          // under the lock of the file: what was decided on another log than this one might take an entry back
          if (before?.hash !== change.on?.hash) throw new LogMovedError(path)
          const last = change.entries.at(-1)
          const after = last === undefined ? before : { height: last.height, hash: last.hash }
          // what takes the place of entries is named beforehand: a crash in between must not look like an old log
          if (before !== undefined && change.from <= before.height)
            writeAnchor(places, signer, [before, after ?? before])
        })
        anchorAfter(database, places, signer)
        if (isPacked) giveBack(database)
      }),
    beat: () =>
      damaged(() => {
        const row = database.prepare('SELECT beat FROM beat').get()
        return row === undefined ? undefined : (JSON.parse(String(row['beat'])) as unknown)
      }),
    keepBeat: (value) =>
      damaged(() => void database.prepare('INSERT OR REPLACE INTO beat VALUES (1, ?)').run(JSON.stringify(value))),
    certificates: () =>
      damaged(() => {
        const rows = database.prepare('SELECT bytes FROM certificates').all()
        return rows.flatMap(({ bytes }) => (bytes instanceof Uint8Array ? [bytes] : []))
      }),
    keepCertificates: (kept, gone) => damaged(() => keepCertificates(database, kept, gone)),
    close: () => database.close(),
  }
}

function readRows(database: DatabaseSync, from: number, limit: number): StoredEntry[] {
  const rows = database.prepare('SELECT height, hash, bytes FROM entries WHERE height >= ? ORDER BY height LIMIT ?')
  return rows.all(from, limit).map(({ height, hash, bytes }) => {
    // SQLite itself looks at types when it writes, and not when it reads
    if (!(bytes instanceof Uint8Array)) throw new Error(`entry ${String(height)} is not what was written`)
    return { height: Number(height), hash: String(hash), bytes }
  })
}

/** Packed ones come first, segment by segment. */
function readAll(database: DatabaseSync, segments: Segments, from: number, limit: number): StoredEntry[] {
  const all: StoredEntry[] = []
  while (all.length < limit) {
    const some = segments.read(from + all.length, limit - all.length)
    if (some.length === 0) break
    all.push(...some)
  }
  return all.length < limit ? [...all, ...readRows(database, from + all.length, limit - all.length)] : all
}

/** Room that packing has left in the file, where it is a quarter of it; a disk that is full keeps it as it is. */
function giveBack(database: DatabaseSync): void {
  const of = (pragma: string): number => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0)
  const [free, pages] = [of('freelist_count'), of('page_count')]
  if (free < LEAST_FREE_PAGES || free * 4 < pages) return
  try {
    database.exec('VACUUM')
  } catch {
    // what is free is used by the entries to come
  }
}

function headOf(database: DatabaseSync): LogHead | undefined {
  const row = database.prepare('SELECT height, hash FROM entries ORDER BY height DESC LIMIT 1').get()
  return row === undefined ? undefined : { height: Number(row['height']), hash: String(row['hash']) }
}

/** @returns whether there is nothing left to be packed */
function write(
  database: DatabaseSync,
  segments: Segments,
  { from, entries, fork, snapshot }: StoreChange,
  check: (before: LogHead | undefined) => void,
): boolean {
  database.exec('BEGIN IMMEDIATE')
  try {
    check(headOf(database))
    segments.cut(from)
    database.prepare('DELETE FROM entries WHERE height >= ?').run(from)
    database.prepare('DELETE FROM snapshot WHERE height >= ?').run(from)
    const insert = database.prepare('INSERT INTO entries VALUES (?, ?, ?)')
    for (const { height, hash, bytes } of entries) insert.run(height, hash, bytes)
    if (fork !== undefined) keepFork(database, fork)
    if (snapshot !== undefined) {
      database.exec('DELETE FROM snapshot')
      database.prepare('INSERT INTO snapshot VALUES (?, ?)').run(snapshot.height, snapshot.text)
    }
    const kept = database.prepare('SELECT height FROM snapshot').get()
    const isPacked = kept === undefined || segments.pack(Number(kept['height']), entries.length)
    database.exec('COMMIT')
    return isPacked
  } catch (error) {
    undoTransaction(database)
    throw error
  }
}

function keepCertificates(
  database: DatabaseSync,
  kept: ReadonlyMap<string, Uint8Array>,
  gone: readonly string[],
): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    const insert = database.prepare('INSERT OR REPLACE INTO certificates VALUES (?, ?)')
    for (const [peer, bytes] of kept) insert.run(peer, bytes)
    const remove = database.prepare('DELETE FROM certificates WHERE peer = ?')
    for (const peer of gone) remove.run(peer)
    database.exec('COMMIT')
  } catch (error) {
    undoTransaction(database)
    throw error
  }
}

/** The entries are durable by now: an anchor that finds no room comes with the next. */
function anchorAfter(database: DatabaseSync, places: LogPlaces, signer: EntrySigner): void {
  try {
    const head = headOf(database)
    if (head !== undefined) writeAnchor(places, signer, [head])
  } catch (error) {
    if (diskTrouble(places.anchor, error) === undefined) throw error
  }
}

function keepFork(database: DatabaseSync, fork: StoredFork): void {
  const both = [fork.kept, fork.other].sort()
  const sameTwo = "min(fork ->> '$.kept', fork ->> '$.other') = ? AND max(fork ->> '$.kept', fork ->> '$.other') = ?"
  database.prepare(`DELETE FROM forks WHERE ${sameTwo}`).run(both[0]!, both[1]!)
  database.prepare('INSERT INTO forks (fork) VALUES (?)').run(textOfFork(fork))
  database.prepare('DELETE FROM forks WHERE id NOT IN (SELECT id FROM forks ORDER BY id DESC LIMIT ?)').run(MAX_FORKS)
}

function readForks(database: DatabaseSync): StoredFork[] {
  const rows = database.prepare('SELECT fork FROM forks ORDER BY id').all()
  return rows.map((row) => readFork(row['fork']))
}

function textOfFork(fork: StoredFork): string {
  const plain = { ...fork, branch: fork.branch.map((bytes) => Buffer.from(bytes).toString('base64')) }
  return JSON.stringify({ ...plain, sum: sumOf(plain) })
}

function sumOf(plain: object): string {
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}

/** Written by this peer alone; those of older versions have no sum. @throws where it is another text than was written */
function readFork(text: unknown): StoredFork {
  const { sum, ...value } = JSON.parse(String(text)) as Omit<StoredFork, 'branch'> & {
    readonly branch: readonly string[]
    readonly sum?: string
  }
  if (sum !== undefined && sum !== sumOf(value)) throw new Error('what it says of a fork is not what was written')
  return { ...value, branch: value.branch.map((one) => new Uint8Array(Buffer.from(one, 'base64'))) }
}

function anchorBytes(heads: readonly LogHead[]): Uint8Array {
  return Buffer.from(DOMAIN + canonicalJson(heads.map(({ hash, height }) => ({ hash, height }))))
}

const headsSchema = headSchema.array().min(1).max(2)

function checkAnchor(
  { path, anchor }: LogPlaces,
  signer: EntrySigner,
  hashAt: (height: number) => string | undefined,
  size: number,
): void {
  if (!existsSync(anchor)) {
    if (size > 0) throw new LogDamagedError(path, `its anchor ${anchor} is gone`)
    return
  }
  const value = statSync(anchor).size > MAX_ANCHOR_BYTES ? undefined : parsedJson(readFileSync(anchor, 'utf8'))
  const { seq, heads, signature } = (value ?? {}) as Readonly<Record<string, unknown>>
  const parsed = headsSchema.safeParse(heads)
  const isOurs =
    parsed.success &&
    seq === entriesOf(parsed.data) &&
    typeof signature === 'string' &&
    verify(signer.id, anchorBytes(parsed.data), Buffer.from(signature, 'hex'))
  if (!isOurs) throw new LogDamagedError(path, `its anchor ${anchor} is not one that this peer signed`)
  // one entry more than the anchor knows is no harm: a crash came between the two writes
  if (parsed.data.some(({ height, hash }) => hashAt(height) === hash)) return
  throw new LogRolledBackError(path, { entries: size, expected: parsed.data[0]!.height + 1 })
}

/** How far it was, as the anchor of every chain says it: a restore takes none of them back. */
function entriesOf(heads: readonly LogHead[]): number {
  return (heads[0]?.height ?? -1) + 1
}

function writeAnchor({ anchor }: LogPlaces, signer: EntrySigner, heads: readonly LogHead[]): void {
  const signature = Buffer.from(signer.sign(anchorBytes(heads))).toString('hex')
  replaceDurably(anchor, `${JSON.stringify({ seq: entriesOf(heads), heads, signature })}\n`)
}
