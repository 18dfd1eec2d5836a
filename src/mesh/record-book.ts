/** All records that this peer keeps: bounded by author and in all, with the digest that two peers compare. */
import { createHash } from 'node:crypto'
import type { Clock } from '../util/index.ts'
import type { BodyOf } from './bodies.ts'
import { MAX_AUTHORS, MAX_BOOK_BYTES, MAX_BYTES_PER_AUTHOR, MAX_RECORDS, MAX_RECORDS_PER_AUTHOR } from './limits.ts'
import type { MeshRecord, SealedRecord } from './records.ts'
import { Shadows } from './shadows.ts'
import { storedRecord } from './stored-record.ts'
import type { StoredRecord } from './stored-record.ts'
import { bucketOf, SUM_BUCKETS, Sums, sumOf } from './sums.ts'
import type { EntrySum } from './sums.ts'
import type { RecordKind } from './types.ts'

export type DigestEntry = readonly [kind: string, key: string, author: string, version: number]

export interface RecordBookNeeds {
  readonly clock: Clock
  /** Authors that never make way for others: ourselves and who is connected. */
  readonly isNear: (author: string) => boolean
  readonly changed: (record: StoredRecord) => void
}

/** What names a record. */
type Named = Pick<MeshRecord, 'kind' | 'author' | 'key'>

interface Author {
  heardAt: number
  bytes: number
  /** A hundred at most and mostly two, so that looking through them costs less than a table of all records by their names. */
  records: readonly StoredRecord[]
}

export class RecordBook {
  /** What was seen and is not kept. */
  readonly shadows: Shadows
  readonly #needs: RecordBookNeeds
  /** By the beginning of the signature, so that a copy is known without being read. Of two with the same one is not known so. */
  readonly #signed = new Map<number, StoredRecord>()
  /** Those of which there are few; of profiles and holdings the book is full. */
  readonly #few = new Map<RecordKind, Set<StoredRecord>>()
  readonly #authors = new Map<string, Author>()
  readonly #sums = new Sums()
  #count = 0
  #bytes = 0
  #hash: Uint8Array | undefined

  constructor(needs: RecordBookNeeds) {
    this.#needs = needs
    this.shadows = new Shadows(needs.clock, (id, version) => this.#toggle(sumOf(id, version)))
  }

  /** The record of exactly these bytes is kept here: most that come are copies, one from each who passes it on. */
  has(bytes: Uint8Array): boolean {
    const known = this.#signed.get(signatureStart(bytes))
    return known !== undefined && Buffer.compare(known.bytes, bytes) === 0
  }

  get(id: string): StoredRecord | undefined {
    return this.#at(namedBy(id))
  }

  find<Kind extends RecordKind>(kind: Kind, author: string, key = ''): StoredRecord<Kind> | undefined {
    return this.#at({ kind, author, key }) as StoredRecord<Kind> | undefined
  }

  ofKind<Kind extends RecordKind>(kind: Kind): StoredRecord<Kind>[] {
    const few = this.#few.get(kind) as ReadonlySet<StoredRecord<Kind>> | undefined
    if (few !== undefined) return [...few]
    if (!isMany(kind)) return []
    const found: StoredRecord[] = []
    for (const { records } of this.#authors.values())
      for (const record of records) if (record.kind === kind) found.push(record)
    return found as StoredRecord<Kind>[]
  }

  /** Peers that records are kept of. */
  get size(): number {
    return this.#authors.size
  }

  authors(): string[] {
    return [...this.#authors.keys()]
  }

  recordsOf(author: string): readonly StoredRecord[] {
    return this.#authors.get(author)?.records ?? []
  }

  /** Version that is here, kept or only seen; 0 for none. */
  version(named: Named): number {
    return Math.max(this.#at(named)?.version ?? 0, this.shadows.version(named) ?? 0)
  }

  /** Keeps a record that has been judged. False when there is no room for it and nobody could make way. */
  keep(sealed: SealedRecord, body: BodyOf<RecordKind>): boolean {
    const record = storedRecord(sealed, body)
    const before = this.#at(record)
    const growth = sealed.bytes.length - (before?.bytes.length ?? 0)
    if (!this.#isWithinShare(record, before, growth) || !this.#makeRoom(record, growth)) return false
    const author = this.#authors.get(record.author) ?? { heardAt: -Infinity, bytes: 0, records: [] }
    this.#authors.set(record.author, author)
    const others = author.records.filter((other) => other !== before)
    author.records = [...others, record]
    author.bytes += growth
    this.#bytes += growth
    this.shadows.remove(record.id)
    this.shadows.recall(record.author)
    if (before !== undefined) this.#leave(before)
    this.#enter(record)
    this.#needs.changed(record)
    return true
  }

  drop(id: string): void {
    const record = this.get(id)
    if (record === undefined) return
    const author = this.#authors.get(record.author)!
    this.#leave(record)
    author.records = author.records.filter((other) => other !== record)
    author.bytes -= record.bytes.length
    this.#bytes -= record.bytes.length
    if (author.records.length === 0) this.#authors.delete(record.author)
    this.shadows.add(id, record.version, 'dropped')
    this.#needs.changed(record)
  }

  /** Milliseconds since this author was heard, directly or through others; Infinity: never. */
  silence(author: string): number {
    return this.#needs.clock.now() - (this.#authors.get(author)?.heardAt ?? -Infinity)
  }

  /** The author lived `age` milliseconds ago. */
  heard(name: string, age: number): void {
    const author = this.#authors.get(name)
    if (author !== undefined) author.heardAt = Math.max(author.heardAt, this.#needs.clock.now() - age)
  }

  /** @param of those in these buckets (sums.ts); undefined: all */
  entries(of?: readonly number[]): DigestEntry[] {
    const entries: DigestEntry[] = []
    const isOf = flags(of)
    for (const { records } of this.#authors.values())
      for (const { kind, key, author, version, sum } of records)
        if (isOf[sum.bucket] === 1) entries.push([kind, key, author, version])
    for (const [id, version] of this.shadows.entries()) {
      if (isOf[bucketOf(id)] !== 1) continue
      const { kind, author, key } = namedBy(id)
      entries.push([kind, key, author, version])
    }
    return entries
  }

  /** SHA-256 over the sorted entries: equal on two peers that know the same. */
  hash(): Uint8Array {
    this.#hash ??= hashOf(this.entries())
    return this.#hash
  }

  /** The same in sums over buckets (sums.ts), at no cost. */
  sums(): Uint8Array {
    return this.#sums.bytes()
  }

  #at({ kind, author, key }: Named): StoredRecord | undefined {
    return this.#authors.get(author)?.records.find((record) => record.kind === kind && record.key === key)
  }

  #isWithinShare({ author: name }: StoredRecord, before: StoredRecord | undefined, growth: number): boolean {
    const author = this.#authors.get(name)
    if (author === undefined) return true
    if (author.bytes + growth > MAX_BYTES_PER_AUTHOR) return false
    return before !== undefined || author.records.length < MAX_RECORDS_PER_AUTHOR
  }

  /** Drops the authors that were silent longest, until there is room. */
  #makeRoom(record: StoredRecord, growth: number): boolean {
    while (this.#isFull(record, growth)) {
      const far = this.authors().filter((other) => other !== record.author && !this.#needs.isNear(other))
      const [oldest] = far.sort((left, right) => this.silence(right) - this.silence(left))
      if (oldest === undefined) return false
      for (const { id } of this.recordsOf(oldest)) this.drop(id)
    }
    return true
  }

  #isFull(record: StoredRecord, growth: number): boolean {
    if (this.#bytes + growth > MAX_BOOK_BYTES) return true
    if (this.#count >= MAX_RECORDS && this.#at(record) === undefined) return true
    return !this.#authors.has(record.author) && this.#authors.size >= MAX_AUTHORS
  }

  #enter(record: StoredRecord): void {
    this.#count++
    this.#toggle(record.sum)
    this.#signed.set(signatureStart(record.bytes), record)
    if (isMany(record.kind)) return
    const few = this.#few.get(record.kind) ?? new Set()
    this.#few.set(record.kind, few.add(record))
  }

  #leave(record: StoredRecord): void {
    this.#count--
    this.#toggle(record.sum)
    const start = signatureStart(record.bytes)
    if (this.#signed.get(start) === record) this.#signed.delete(start)
    this.#few.get(record.kind)?.delete(record)
  }

  #toggle(sum: EntrySum): void {
    this.#hash = undefined
    this.#sums.toggle(sum)
  }
}

/** [SUM_BUCKETS] 1 for these buckets; undefined: for all. */
function flags(of: readonly number[] | undefined): Uint8Array {
  const set = new Uint8Array(SUM_BUCKETS)
  if (of === undefined) return set.fill(1)
  for (const bucket of of) set[bucket] = 1
  return set
}

/** The reverse of `recordId`. */
function namedBy(id: string): Named {
  const [kind, author, key] = id.split('\n') as [string, string, string]
  return { kind, author, key }
}

function isMany(kind: RecordKind): boolean {
  return kind === 'profile' || kind === 'holdings'
}

/** 30 bits: what a map holds without an object of its own. */
function signatureStart([a = 0, b = 0, c = 0, d = 0]: Uint8Array): number {
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 2
}

function hashOf(entries: readonly DigestEntry[]): Uint8Array {
  const lines = entries.map((entry) => JSON.stringify(entry)).sort()
  return new Uint8Array(createHash('sha256').update(lines.join('\n')).digest())
}
