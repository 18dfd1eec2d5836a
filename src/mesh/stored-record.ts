/** A record as it is kept, with what names it and what it is in sums: made once of each that comes. */
import type { BodyOf } from './bodies.ts'
import { recordId } from './records.ts'
import type { SealedRecord } from './records.ts'
import { sumOf } from './sums.ts'
import type { EntrySum } from './sums.ts'
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
  readonly sum: EntrySum
}

export function storedRecord({ record, bytes }: SealedRecord, body: BodyOf<RecordKind>): StoredRecord {
  const { key, author, version } = record
  const id = recordId(record)
  return { id, kind: record.kind as RecordKind, key, author, version, body, bytes, sum: sumOf(id, version) }
}
