/**
 * Entries behind a checkpoint, packed: 512 of them in one row, deflated, with their hashes beside them and a sum over all.
 * Nothing of them is lost, so whoever joins, is far behind or judges a fork gets every one, and has to believe nobody; what
 * is there in a few rows takes half of the disk. Packing and unpacking are part of the transaction that makes them needed.
 */
import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { StoredEntry } from './log-store.ts'

export const SEGMENT_TABLE = `
CREATE TABLE IF NOT EXISTS segments (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, hashes BLOB NOT NULL,
  bytes BLOB NOT NULL, sum BLOB NOT NULL) STRICT;`
/** Entries of a segment: as many as lie between two checkpoints, 25 ms of work. */
export const SEGMENT_ENTRIES = 512
/** Beyond what a change brings: of a log that was written before there were any. It is packed by and by, and holds nobody up. */
const SEGMENTS_A_CHANGE = 4
const HASH_BYTES = 32
const LENGTH_BYTES = 4
/** Hardly anything in a segment is shorter than when it was packed; what claims more is no segment. */
const MAX_BYTES = SEGMENT_ENTRIES * ((1 << 20) + LENGTH_BYTES)

export interface Segments {
  /** Entries in them: all before this height. @throws where they do not follow each other */
  size(): number
  hashAt(height: number): string | undefined
  /** From `from` on, within the one segment that has it; none where none has. @throws where it is not what was written */
  read(from: number, limit: number): readonly StoredEntry[]
  /** Within a transaction: what lies before `height` is packed, in whole segments. @param entries that have just come. @returns whether all of it is */
  pack(height: number, entries: number): boolean
  /** Within a transaction: entries from `from` on are dropped, and those before it in their segment are rows again. */
  cut(from: number): void
}

export function createSegments(database: DatabaseSync, each: number): Segments {
  /** The last one that was read: a log is read in pages. Another process of the home may have cut it. */
  let open: { readonly sum: string; readonly entries: readonly StoredEntry[] } | undefined

  /** Of the segment that has an entry; of none: from 0 to before that. */
  const rangeOf = (height: number): readonly [number, number] => {
    const row = database.prepare('SELECT first, last FROM segments WHERE first <= ? AND last >= ?').get(height, height)
    return row === undefined ? [0, -1] : [Number(row['first']), Number(row['last'])]
  }
  const read = (height: number): readonly StoredEntry[] => {
    const [first, last] = rangeOf(height)
    if (first > last) return []
    const sql = 'SELECT hashes, bytes, sum FROM segments WHERE first = ?'
    const { hashes, bytes, sum } = database.prepare(sql).get(first) ?? {}
    if (!(hashes instanceof Uint8Array) || !(bytes instanceof Uint8Array) || !(sum instanceof Uint8Array))
      throw new Error(`the segment of entry ${first} is not what was written`)
    const text = Buffer.from(sum).toString('hex')
    if (open?.sum === text && open.entries[0]?.height === first) return open.entries
    if (text !== sumOf(first, last, hashes, bytes).toString('hex'))
      throw new Error(`the segment of entry ${first} is not what was written`)
    const entries = unpacked(first, hashes, bytes)
    if (entries.length !== last - first + 1) throw new Error(`the segment of entry ${first} is cut off`)
    open = { sum: text, entries }
    return entries
  }
  const packOne = (entries: readonly StoredEntry[]): void => {
    const first = entries[0]!.height
    const last = entries.at(-1)!.height
    const hashes = Buffer.from(entries.map(({ hash }) => hash).join(''), 'hex')
    const bytes = packed(entries)
    database
      .prepare('INSERT INTO segments VALUES (?, ?, ?, ?, ?)')
      .run(first, last, hashes, bytes, sumOf(first, last, hashes, bytes))
    database.prepare('DELETE FROM entries WHERE height <= ?').run(last)
  }

  return {
    size() {
      const sql = 'SELECT count(*) AS n, max(last) AS top, sum(last - first + 1) AS entries FROM segments'
      const { n, top, entries } = database.prepare(sql).get() ?? {}
      if (Number(n ?? 0) === 0) return 0
      if (Number(top) + 1 !== Number(entries)) throw new Error('a segment of the log is missing')
      return Number(entries)
    },
    hashAt(height) {
      const sql = 'SELECT substr(hashes, 1 + ? * (? - first), ?) AS hash FROM segments WHERE first <= ? AND last >= ?'
      const hash = database.prepare(sql).get(HASH_BYTES, height, HASH_BYTES, height, height)?.['hash']
      return hash instanceof Uint8Array ? Buffer.from(hash).toString('hex') : undefined
    },
    read: (from, limit) => read(from).filter(({ height }) => height >= from && height < from + limit),
    pack(below, added) {
      const rows = database.prepare('SELECT height, hash, bytes FROM entries ORDER BY height LIMIT ?')
      const most = SEGMENTS_A_CHANGE + Math.ceil(added / each)
      for (let n = 0; n < most; n++) {
        const entries = rows.all(each).map(entryOf)
        const last = entries.at(-1)
        if (entries.length < each || last === undefined || last.height >= below) return true
        packOne(entries)
      }
      return false
    },
    cut(from) {
      const entries = read(from)
      if (entries.length === 0) return
      database.prepare('DELETE FROM segments WHERE last >= ?').run(from)
      open = undefined
      const insert = database.prepare('INSERT INTO entries VALUES (?, ?, ?)')
      for (const { height, hash, bytes } of entries) if (height < from) insert.run(height, hash, bytes)
    },
  }
}

function entryOf({ height, hash, bytes }: Readonly<Record<string, unknown>>): StoredEntry {
  // SQLite itself looks at types when it writes, and not when it reads
  if (!(bytes instanceof Uint8Array)) throw new Error(`entry ${String(height)} is not what was written`)
  return { height: Number(height), hash: String(hash), bytes }
}

function packed(entries: readonly StoredEntry[]): Uint8Array {
  const parts = entries.flatMap(({ bytes }) => {
    const length = Buffer.alloc(LENGTH_BYTES)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return deflateRawSync(Buffer.concat(parts), { level: 1 })
}

function unpacked(first: number, hashes: Uint8Array, bytes: Uint8Array): StoredEntry[] {
  const plain = inflateRawSync(bytes, { maxOutputLength: MAX_BYTES })
  const text = Buffer.from(hashes).toString('hex')
  const entries: StoredEntry[] = []
  for (let at = 0; at < plain.length;) {
    const length = plain.readUInt32LE(at)
    const n = entries.length * 2 * HASH_BYTES
    at += LENGTH_BYTES
    entries.push({
      height: first + entries.length,
      hash: text.slice(n, n + 2 * HASH_BYTES),
      bytes: new Uint8Array(plain.subarray(at, at + length)),
    })
    at += length
  }
  return entries
}

function sumOf(first: number, last: number, hashes: Uint8Array, bytes: Uint8Array): Buffer {
  return createHash('sha256').update(`${first} ${last}\n`).update(hashes).update(bytes).digest()
}
