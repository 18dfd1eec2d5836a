/**
 * Records of the mesh are read and their signatures verified once for all peers of the process, and kept once: the same
 * bytes give the same answer. What is read, how, and what is refused is the product's.
 */
import { checkBody as check } from '../../src/mesh/bodies.ts'
import { isGenuine as genuine, readRecord as read, recordId as idOf } from '../../src/mesh/records.ts'
import type { MeshRecord, SealedRecord } from '../../src/mesh/records.ts'
import { storedRecord as store } from '../../src/mesh/stored-record.ts'
import type { StoredRecord } from '../../src/mesh/stored-record.ts'

export * from '../../src/mesh/bodies.ts'
export * from '../../src/mesh/records.ts'
export type { StoredRecord } from '../../src/mesh/stored-record.ts'

const ids = new WeakMap<object, string>()
/** By the first bytes of the signature: what comes is a copy, or a part of a frame of several. */
const records = new Map<number, SealedRecord>()
/** A run has thousands, and nobody asks for those of runs before. */
const MOST_RECORDS = 50_000
/** As much as a number holds. */
const KEY_BYTES = 6
const genuineness = new WeakMap<SealedRecord, boolean>()
const stored = new WeakMap<SealedRecord, StoredRecord>()
const bodies = new WeakMap<object, { readonly body: ReturnType<typeof check> }>()

export function recordId(record: Pick<MeshRecord, 'kind' | 'author' | 'key'>): string {
  const known = ids.get(record) ?? idOf(record)
  if ('body' in record) ids.set(record, known)
  return known
}

export function readRecord(bytes: Uint8Array): SealedRecord | undefined {
  if (bytes.length < KEY_BYTES) return undefined
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, KEY_BYTES).readUIntLE(0, KEY_BYTES)
  const known = records.get(key)
  if (known !== undefined && Buffer.compare(known.bytes, bytes) === 0) return known
  const sealed = read(bytes)
  if (records.size >= MOST_RECORDS) records.clear()
  if (sealed !== undefined) records.set(key, sealed)
  return sealed
}

export function isGenuine(sealed: SealedRecord): boolean {
  const known = genuineness.get(sealed) ?? genuine(sealed)
  genuineness.set(sealed, known)
  return known
}

export function storedRecord(...[sealed, body]: Parameters<typeof store>): StoredRecord {
  const known = stored.get(sealed) ?? store(sealed, body)
  stored.set(sealed, known)
  return known
}

export function checkBody(...[kind, key, body]: Parameters<typeof check>): ReturnType<typeof check> {
  if (typeof body !== 'object' || body === null) return check(kind, key, body)
  const known = bodies.get(body) ?? { body: check(kind, key, body) }
  bodies.set(body, known)
  return known.body
}
