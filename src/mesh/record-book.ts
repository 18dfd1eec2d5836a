/** All records that this peer keeps: bounded by author and in all, with the digest that two peers compare. */
import { createHash } from 'node:crypto'
import type { Clock } from '../util/index.ts'
import type { BodyOf } from './bodies.ts'
import { MAX_AUTHORS, MAX_BOOK_BYTES, MAX_BYTES_PER_AUTHOR, MAX_RECORDS, MAX_RECORDS_PER_AUTHOR } from './limits.ts'
import { recordId } from './records.ts'
import type { SealedRecord } from './records.ts'
import { Shadows } from './shadows.ts'
import { storedRecord } from './stored-record.ts'
import type { StoredRecord } from './stored-record.ts'
import { bucketOf, Sums, sumOf } from './sums.ts'
import type { EntrySum } from './sums.ts'
import type { RecordKind } from './types.ts'

export type DigestEntry = readonly [kind: string, key: string, author: string, version: number]

export interface RecordBookNeeds {
  readonly clock: Clock
  /** Authors that never make way for others: ourselves and who is connected. */
  readonly isNear: (author: string) => boolean
  readonly changed: (record: StoredRecord) => void
}

interface Author {
  heardAt: number
  bytes: number
  /** Of a hundred at most, and mostly two. */
  ids: readonly string[]
}

export class RecordBook {
  /** What was seen and is not kept. */
  readonly shadows: Shadows
  readonly #needs: RecordBookNeeds
  readonly #records = new Map<string, StoredRecord>()
  /** By the beginning of the signature, so that a copy is known without being read. Of two with the same one is not known so. */
  readonly #signed = new Map<number, StoredRecord>()
  /** Those of which there are few; of profiles and holdings the book is full. */
  readonly #few = new Map<RecordKind, Set<StoredRecord>>()
  readonly #authors = new Map<string, Author>()
  readonly #sums = new Sums()
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
    return this.#records.get(id)
  }

  find<Kind extends RecordKind>(kind: Kind, author: string, key = ''): StoredRecord<Kind> | undefined {
    return this.#records.get(recordId({ kind, author, key })) as StoredRecord<Kind> | undefined
  }

  ofKind<Kind extends RecordKind>(kind: Kind): StoredRecord<Kind>[] {
    const few = this.#few.get(kind) as ReadonlySet<StoredRecord<Kind>> | undefined
    if (few !== undefined) return [...few]
    if (!isMany(kind)) return []
    return [...this.#records.values()].filter((record): record is StoredRecord<Kind> => record.kind === kind)
  }

  /** Peers that records are kept of. */
  get size(): number {
    return this.#authors.size
  }

  authors(): string[] {
    return [...this.#authors.keys()]
  }

  recordsOf(author: string): StoredRecord[] {
    return [...(this.#authors.get(author)?.ids ?? [])].map((id) => this.#records.get(id)!)
  }

  /** Version that is here, kept or only seen; 0 for none. */
  version(id: string): number {
    return Math.max(this.#records.get(id)?.version ?? 0, this.shadows.version(id) ?? 0)
  }

  /** Keeps a record that has been judged. False when there is no room for it and nobody could make way. */
  keep(sealed: SealedRecord, body: BodyOf<RecordKind>): boolean {
    const record = storedRecord(sealed, body)
    const { id, author: name } = record
    const before = this.#records.get(id)
    const growth = sealed.bytes.length - (before?.bytes.length ?? 0)
    if (!this.#isWithinShare(name, id, growth) || !this.#makeRoom(name, id, growth)) return false
    const author = this.#authors.get(name) ?? { heardAt: -Infinity, bytes: 0, ids: [] }
    this.#authors.set(name, author)
    if (before === undefined) author.ids = [...author.ids, id]
    author.bytes += growth
    this.#bytes += growth
    this.shadows.remove(id)
    this.shadows.recall(name)
    if (before !== undefined) this.#leave(before)
    this.#records.set(id, record)
    this.#enter(record)
    this.#needs.changed(record)
    return true
  }

  drop(id: string): void {
    const record = this.#records.get(id)
    if (record === undefined) return
    const author = this.#authors.get(record.author)!
    this.#records.delete(id)
    this.#leave(record)
    author.ids = author.ids.filter((other) => other !== id)
    author.bytes -= record.bytes.length
    this.#bytes -= record.bytes.length
    if (author.ids.length === 0) this.#authors.delete(record.author)
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
  entries(of?: ReadonlySet<number>): DigestEntry[] {
    const entries: DigestEntry[] = []
    for (const { kind, key, author, version, sum } of this.#records.values())
      if (of?.has(sum.bucket) !== false) entries.push([kind, key, author, version])
    for (const [id, version] of this.shadows.entries()) {
      if (of?.has(bucketOf(id)) === false) continue
      const [kind, author, key] = id.split('\n') as [string, string, string]
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

  #isWithinShare(name: string, id: string, growth: number): boolean {
    const author = this.#authors.get(name)
    if (author === undefined) return true
    if (author.bytes + growth > MAX_BYTES_PER_AUTHOR) return false
    return this.#records.has(id) || author.ids.length < MAX_RECORDS_PER_AUTHOR
  }

  /** Drops the authors that were silent longest, until there is room. */
  #makeRoom(name: string, id: string, growth: number): boolean {
    while (this.#isFull(name, id, growth)) {
      const far = this.authors().filter((other) => other !== name && !this.#needs.isNear(other))
      const [oldest] = far.sort((left, right) => this.silence(right) - this.silence(left))
      if (oldest === undefined) return false
      for (const { id } of this.recordsOf(oldest)) this.drop(id)
    }
    return true
  }

  #isFull(name: string, id: string, growth: number): boolean {
    if (this.#bytes + growth > MAX_BOOK_BYTES) return true
    if (!this.#records.has(id) && this.#records.size >= MAX_RECORDS) return true
    return !this.#authors.has(name) && this.#authors.size >= MAX_AUTHORS
  }

  #enter(record: StoredRecord): void {
    this.#toggle(record.sum)
    this.#signed.set(signatureStart(record.bytes), record)
    if (isMany(record.kind)) return
    const few = this.#few.get(record.kind) ?? new Set()
    this.#few.set(record.kind, few.add(record))
  }

  #leave(record: StoredRecord): void {
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
