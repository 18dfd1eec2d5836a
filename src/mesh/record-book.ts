/** All records that this peer keeps: bounded by author and in all, with the digest that two peers compare. */
import { createHash } from 'node:crypto'
import type { Clock } from '../util/index.ts'
import type { BodyOf } from './bodies.ts'
import { MAX_AUTHORS, MAX_BOOK_BYTES, MAX_BYTES_PER_AUTHOR, MAX_RECORDS, MAX_RECORDS_PER_AUTHOR } from './limits.ts'
import { recordId, SIGNATURE_BYTES } from './records.ts'
import type { SealedRecord } from './records.ts'
import { Shadows } from './shadows.ts'
import type { RecordKind } from './types.ts'

export interface StoredRecord<Kind extends RecordKind = RecordKind> {
  readonly id: string
  readonly kind: Kind
  readonly key: string
  readonly author: string
  readonly version: number
  readonly body: BodyOf<Kind>
  /** As on the wire. */
  readonly bytes: Uint8Array
}

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
  readonly ids: Set<string>
}

export class RecordBook {
  /** What was seen and is not kept. */
  readonly shadows: Shadows
  readonly #needs: RecordBookNeeds
  readonly #records = new Map<string, StoredRecord>()
  /** By signature, so that a copy is known without being read. */
  readonly #signed = new Map<string, StoredRecord>()
  readonly #authors = new Map<string, Author>()
  #bytes = 0
  #hash: Uint8Array | undefined

  constructor(needs: RecordBookNeeds) {
    this.#needs = needs
    this.shadows = new Shadows(needs.clock, () => (this.#hash = undefined))
  }

  /** The record of exactly these bytes is kept here: most that come are copies, one from each who passes it on. */
  has(bytes: Uint8Array): boolean {
    const known = this.#signed.get(signatureOf(bytes))
    return known !== undefined && Buffer.compare(known.bytes, bytes) === 0
  }

  get(id: string): StoredRecord | undefined {
    return this.#records.get(id)
  }

  find<Kind extends RecordKind>(kind: Kind, author: string, key = ''): StoredRecord<Kind> | undefined {
    return this.#records.get(recordId({ kind, author, key })) as StoredRecord<Kind> | undefined
  }

  ofKind<Kind extends RecordKind>(kind: Kind): StoredRecord<Kind>[] {
    return [...this.#records.values()].filter((record): record is StoredRecord<Kind> => record.kind === kind)
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
    const { kind, key, author: name, version } = sealed.record
    const id = recordId(sealed.record)
    const growth = sealed.bytes.length - (this.#records.get(id)?.bytes.length ?? 0)
    if (!this.#isWithinShare(name, id, growth) || !this.#makeRoom(name, id, growth)) return false
    const author = this.#authors.get(name) ?? { heardAt: -Infinity, bytes: 0, ids: new Set<string>() }
    this.#authors.set(name, author)
    author.ids.add(id)
    author.bytes += growth
    this.#bytes += growth
    this.shadows.remove(id)
    this.shadows.recall(name)
    const record = { id, kind: kind as RecordKind, key, author: name, version, body, bytes: sealed.bytes }
    this.#unsign(this.#records.get(id))
    this.#records.set(id, record)
    this.#signed.set(signatureOf(sealed.bytes), record)
    this.#changed(record)
    return true
  }

  drop(id: string): void {
    const record = this.#records.get(id)
    if (record === undefined) return
    const author = this.#authors.get(record.author)!
    this.#records.delete(id)
    this.#unsign(record)
    author.ids.delete(id)
    author.bytes -= record.bytes.length
    this.#bytes -= record.bytes.length
    if (author.ids.size === 0) this.#authors.delete(record.author)
    this.shadows.add(id, record.version, 'dropped')
    this.#changed(record)
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

  entries(): DigestEntry[] {
    const kept = [...this.#records.values()].map(({ id, version }) => [id, version] as const)
    return [...kept, ...this.shadows.entries()].map(([id, version]) => {
      const [kind, author, key] = id.split('\n') as [string, string, string]
      return [kind, key, author, version]
    })
  }

  /** SHA-256 over the sorted entries: equal on two peers that know the same. */
  hash(): Uint8Array {
    this.#hash ??= hashOf(this.entries())
    return this.#hash
  }

  #isWithinShare(name: string, id: string, growth: number): boolean {
    const author = this.#authors.get(name)
    if (author === undefined) return true
    if (author.bytes + growth > MAX_BYTES_PER_AUTHOR) return false
    return author.ids.has(id) || author.ids.size < MAX_RECORDS_PER_AUTHOR
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

  #unsign(record: StoredRecord | undefined): void {
    if (record !== undefined) this.#signed.delete(signatureOf(record.bytes))
  }

  #changed(record: StoredRecord): void {
    this.#hash = undefined
    this.#needs.changed(record)
  }
}

function signatureOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(SIGNATURE_BYTES, bytes.length)).toString('latin1')
}

function hashOf(entries: readonly DigestEntry[]): Uint8Array {
  const lines = entries.map((entry) => JSON.stringify(entry)).sort()
  return new Uint8Array(createHash('sha256').update(lines.join('\n')).digest())
}
