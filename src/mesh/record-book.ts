/** All records that this peer keeps: bounded by author and in all, with the digest that two peers compare. */
import { createHash } from 'node:crypto'
import type { Clock } from '../util/index.ts'
import type { BodyOf } from './bodies.ts'
import { MAX_AUTHORS, MAX_BOOK_BYTES, MAX_BYTES_PER_AUTHOR, MAX_RECORDS, MAX_RECORDS_PER_AUTHOR } from './limits.ts'
import { recordId } from './records.ts'
import type { SealedRecord } from './records.ts'
import { createShadows } from './shadows.ts'
import type { Shadows } from './shadows.ts'
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

export interface RecordBook {
  readonly shadows: Shadows
  get(id: string): StoredRecord | undefined
  find<Kind extends RecordKind>(kind: Kind, author: string, key?: string): StoredRecord<Kind> | undefined
  ofKind<Kind extends RecordKind>(kind: Kind): StoredRecord<Kind>[]
  authors(): string[]
  recordsOf(author: string): StoredRecord[]
  /** Version that is here, kept or only seen; 0 for none. */
  version(id: string): number
  /** Keeps a record that has been judged. False when there is no room for it and nobody could make way. */
  keep(sealed: SealedRecord, body: BodyOf<RecordKind>): boolean
  drop(id: string): void
  /** Milliseconds since this author was heard, directly or through others; Infinity: never. */
  silence(author: string): number
  /** The author lived `age` milliseconds ago. */
  heard(author: string, age: number): void
  entries(): DigestEntry[]
  /** SHA-256 over the sorted entries: equal on two peers that know the same. */
  hash(): Uint8Array
}

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

export function createRecordBook(needs: RecordBookNeeds): RecordBook {
  const { clock } = needs
  const records = new Map<string, StoredRecord>()
  const authors = new Map<string, Author>()
  const shadows = createShadows(clock)
  let total = 0
  let hash: Uint8Array | undefined

  const drop = (id: string): void => {
    const record = records.get(id)
    if (record === undefined) return
    const author = authors.get(record.author)!
    records.delete(id)
    author.ids.delete(id)
    author.bytes -= record.bytes.length
    total -= record.bytes.length
    if (author.ids.size === 0) authors.delete(record.author)
    shadows.add(id, record.version, 'dropped')
    hash = undefined
    needs.changed(record)
  }

  const silence = (name: string): number => clock.now() - (authors.get(name)?.heardAt ?? -Infinity)

  /** Drops the authors that were silent longest, until there is room. */
  const makeRoom = (name: string, bytes: number, isNew: boolean): boolean => {
    const full = (): boolean =>
      total + bytes > MAX_BOOK_BYTES ||
      (isNew && records.size >= MAX_RECORDS) ||
      (!authors.has(name) && authors.size >= MAX_AUTHORS)
    while (full()) {
      const far = [...authors.keys()].filter((other) => other !== name && !needs.isNear(other))
      const [oldest] = far.sort((left, right) => silence(right) - silence(left))
      if (oldest === undefined) return false
      for (const id of authors.get(oldest)!.ids) drop(id)
    }
    return true
  }

  const keep = (sealed: SealedRecord, body: BodyOf<RecordKind>): boolean => {
    const { kind, key, author: name, version } = sealed.record
    const id = recordId(sealed.record)
    const old = records.get(id)
    const growth = sealed.bytes.length - (old?.bytes.length ?? 0)
    const known = authors.get(name)
    if (known !== undefined && known.bytes + growth > MAX_BYTES_PER_AUTHOR) return false
    if (known !== undefined && old === undefined && known.ids.size >= MAX_RECORDS_PER_AUTHOR) return false
    if (!makeRoom(name, growth, old === undefined)) return false
    const author = authors.get(name) ?? { heardAt: -Infinity, bytes: 0, ids: new Set<string>() }
    authors.set(name, author)
    author.ids.add(id)
    author.bytes += growth
    total += growth
    shadows.remove(id)
    shadows.recall(name)
    const record = { id, kind: kind as RecordKind, key, author: name, version, body, bytes: sealed.bytes }
    records.set(id, record)
    hash = undefined
    needs.changed(record)
    return true
  }

  const entries = (): DigestEntry[] => {
    const kept = [...records.values()].map(({ id, version }) => [id, version] as const)
    return [...kept, ...shadows.entries()].map(([id, version]) => {
      const [kind, author, key] = id.split('\n') as [string, string, string]
      return [kind, key, author, version]
    })
  }

  return {
    shadows: {
      ...shadows,
      add: (id, version, why) => {
        hash = undefined
        shadows.add(id, version, why)
      },
      recall: (author) => {
        hash = undefined
        shadows.recall(author)
      },
      sweep: () => {
        const swept = shadows.sweep()
        if (swept) hash = undefined
        return swept
      },
    },
    get: (id) => records.get(id),
    find: <Kind extends RecordKind>(kind: Kind, author: string, key = '') =>
      records.get(recordId({ kind, author, key })) as StoredRecord<Kind> | undefined,
    ofKind: <Kind extends RecordKind>(kind: Kind) =>
      [...records.values()].filter((record): record is StoredRecord<Kind> => record.kind === kind),
    authors: () => [...authors.keys()],
    recordsOf: (author) => [...(authors.get(author)?.ids ?? [])].map((id) => records.get(id)!),
    version: (id) => Math.max(records.get(id)?.version ?? 0, shadows.version(id) ?? 0),
    keep,
    drop,
    silence,
    heard: (name, age) => {
      const author = authors.get(name)
      if (author !== undefined) author.heardAt = Math.max(author.heardAt, clock.now() - age)
    },
    entries,
    hash: () => (hash ??= hashOf(entries())),
  }
}

function hashOf(entries: readonly DigestEntry[]): Uint8Array {
  const lines = entries.map((entry) => JSON.stringify(entry)).sort()
  return new Uint8Array(createHash('sha256').update(lines.join('\n')).digest())
}
