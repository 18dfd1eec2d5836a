/** The file of the audit log: entries appended under the lock of the database, so that the peer and commands may both write. */
import type { DatabaseSync } from 'node:sqlite'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  anchorNow,
  CHAIN_TABLE,
  chainHash,
  EMPTY_CHAIN,
  explainedChain,
  headBytes,
  openDurableDatabase,
  readAnchor,
  writeAnchor,
} from '../../store/index.ts'
import type { ChainHead, ChainPlaces, ChainSigner } from '../../store/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { AUDIT_CHAIN, contentHash } from './entry.ts'

/** What the table of the chain does not have: the text of each entry, apart from what is chained. */
const CONTENTS = 'CREATE TABLE IF NOT EXISTS contents (seq INTEGER PRIMARY KEY, content TEXT NOT NULL) STRICT'
const BUSY_MS = 5_000
const UNSIGNED = new Uint8Array(0)

/** The anchor lies with the keys, so that whoever puts old state back does not put it back too. */
export function auditPlaces(home: string): ChainPlaces {
  return { path: join(home, 'state', 'audit.db'), anchor: join(home, 'keys', 'audit.anchor') }
}

export interface AuditSigner extends Pick<ChainSigner, 'verify'> {
  /** Null: the key is locked, and what is written is signed by whoever unlocks it next. */
  readonly sign: ((bytes: Uint8Array) => Uint8Array) | null
}

export interface Written {
  readonly wall: number
  /** As `contentOf` makes it. */
  readonly content: string
}

export interface AuditFile {
  /**
   * Durable, and anchored, when it returns.
   * @throws AuditDamagedError, AuditRolledBackError, AuditUnwritableError, AuditBusyError
   */
  append(entries: readonly Written[]): ChainHead
  /** As of the last write, of this process; empty before the first. */
  readonly head: ChainHead
}

/** @param busyMilliseconds how long another process may hold the file: an entry takes milliseconds */
export function openAuditFile(signer: AuditSigner, places: ChainPlaces, busyMilliseconds = BUSY_MS): AuditFile {
  let seen = EMPTY_CHAIN
  return {
    get head() {
      return seen
    },
    append: (entries) =>
      explainedChain(AUDIT_CHAIN, places.path, () => {
        anchorFirst(signer, places)
        const database = openDurableDatabase(places.path, busyMilliseconds)
        try {
          database.exec('BEGIN IMMEDIATE')
          database.exec(CHAIN_TABLE)
          database.exec(CONTENTS)
          let head = standing(database, signer, places, seen)
          for (const entry of entries) head = insert(database, signer, head, entry)
          database.exec('COMMIT')
          seen = head
          if (entries.length > 0) anchorAfter(database, signer, places)
          return head
        } finally {
          database.close()
        }
      }),
  }
}

/** The entries are durable by now: an anchor that finds no room comes with the next. */
function anchorAfter(database: DatabaseSync, signer: AuditSigner, places: ChainPlaces): void {
  if (signer.sign === null) return
  try {
    anchorNow(database, AUDIT_CHAIN.headDomain, places, { ...signer, sign: signer.sign })
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (typeof code !== 'string') throw error
  }
}

/** A new log has an anchor before it has entries: a log whose anchor is gone is not a new one. */
function anchorFirst(signer: AuditSigner, places: ChainPlaces): void {
  if (signer.sign === null || existsSync(places.anchor) || existsSync(places.path)) return
  writeAnchor(AUDIT_CHAIN.headDomain, places, { ...signer, sign: signer.sign }, EMPTY_CHAIN)
}

/** The last entry, which the file must have reached by way of what is known of it. */
function standing(database: DatabaseSync, signer: AuditSigner, places: ChainPlaces, seen: ChainHead): ChainHead {
  const row = database.prepare('SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1').get()
  const head = row === undefined ? EMPTY_CHAIN : { seq: Number(row['seq']), hash: String(row['hash']) }
  const needed = head.seq > 0 && signer.sign !== null && anyIsSigned(database)
  const anchored = readAnchor(AUDIT_CHAIN, places, { sign: () => UNSIGNED, ...verifying(signer) }, needed)
  for (const known of [anchored, seen]) refuseUnlessHas(database, head, known, places.path)
  return head
}

function anyIsSigned(database: DatabaseSync): boolean {
  return database.prepare('SELECT 1 FROM entries WHERE length(signature) > 0 LIMIT 1').get() !== undefined
}

function verifying({ verify }: AuditSigner): Pick<ChainSigner, 'verify'> {
  return { verify }
}

function refuseUnlessHas(database: DatabaseSync, head: ChainHead, known: ChainHead, path: string): void {
  if (known.seq === 0) return
  const details = { path, entries: head.seq, expected: known.seq }
  if (known.seq > head.seq) {
    const message = `the audit log ${path} has ${head.seq} entries, and had ${known.seq} before`
    throw AUDIT_CHAIN.error('rolled back', message, { details })
  }
  const row = database.prepare('SELECT hash FROM entries WHERE seq = ?').get(known.seq)
  if (row?.['hash'] === known.hash) return
  const message = `entry ${known.seq} of the audit log ${path} is another than it was`
  throw AUDIT_CHAIN.error('damaged', message, { details: { ...details, entry: known.seq } })
}

function insert(database: DatabaseSync, signer: AuditSigner, before: ChainHead, entry: Written): ChainHead {
  const seq = before.seq + 1
  const { content, wall } = entry
  const locked = signer.sign === null ? true : undefined
  const body = canonicalJson({ seq, previous: before.hash, wall, content: contentHash(content), locked })
  const head = { seq, hash: chainHash(AUDIT_CHAIN.entryDomain, body) }
  const signature = signer.sign?.(headBytes(AUDIT_CHAIN.headDomain, head)) ?? UNSIGNED
  database.prepare('INSERT INTO entries VALUES (?, ?, ?, ?)').run(seq, body, head.hash, signature)
  database.prepare('INSERT INTO contents VALUES (?, ?)').run(seq, content)
  return head
}

/** The newest text of one of two kinds, of a log that is there; undefined: none. @throws what SQLite throws */
export function lastContent(path: string, ...kinds: readonly [string, string]): string | undefined {
  if (!existsSync(path)) return undefined
  const database = openDurableDatabase(path, BUSY_MS)
  try {
    const tables = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'contents'").all()
    if (tables.length === 0) return undefined
    const newest = database.prepare(
      'SELECT content FROM contents WHERE instr(content, ?) > 0 OR instr(content, ?) > 0 ORDER BY seq DESC LIMIT 1',
    )
    const [one, other] = kinds.map((kind) => `"what":"${kind}"`)
    const content = newest.get(one!, other!)?.['content']
    return typeof content === 'string' ? content : undefined
  } finally {
    database.close()
  }
}

/** Whether the log has the entry that a head names. */
export function hasAuditHead(path: string, { seq, hash }: ChainHead): boolean {
  if (!existsSync(path)) return false
  const database = openDurableDatabase(path, BUSY_MS)
  try {
    const tables = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'entries'").all()
    if (tables.length === 0) return false
    return database.prepare('SELECT hash FROM entries WHERE seq = ?').get(seq)?.['hash'] === hash
  } finally {
    database.close()
  }
}
