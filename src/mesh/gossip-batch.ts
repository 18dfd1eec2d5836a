/**
 * Several records in one frame (type 5 of `/weft/mesh/1`): in a large mesh most frames would else be one record each, and a
 * frame costs more than what it carries. Payload: for each record its length (u32), the seconds since the sender heard its
 * author (u32), its bytes; little-endian. An empty one says that its sender takes them: the version before does not look at it.
 */
import { DTYPE, frame } from '../net/index.ts'
import type { Frame } from '../net/index.ts'
import { GOSSIP, readAge, writtenAge } from './gossip-wire.ts'
import { MAX_BATCH_BYTES, MAX_RECORD_BYTES } from './limits.ts'

export interface AgedRecord {
  readonly bytes: Uint8Array
  /** Milliseconds since who sends it has heard its author. */
  readonly age: number
}

const HEAD_BYTES = 8

/** What a record takes in a frame of several. */
export function batchedBytes({ bytes }: Pick<AgedRecord, 'bytes'>): number {
  return HEAD_BYTES + bytes.length
}

/** Of MAX_BATCH_BYTES at most, by `batchedBytes`. */
export function batchFrame(records: readonly AgedRecord[]): Frame {
  const payload = new Uint8Array(records.reduce((sum, record) => sum + batchedBytes(record), 0))
  const view = new DataView(payload.buffer)
  let at = 0
  for (const record of records) {
    view.setUint32(at, record.bytes.length, true)
    view.setUint32(at + 4, writtenAge(record.age), true)
    payload.set(record.bytes, at + HEAD_BYTES)
    at += batchedBytes(record)
  }
  const shape = at === 0 ? {} : { dtype: DTYPE.bytes, dims: [at], payload }
  return frame({ type: GOSSIP.records, ...shape })
}

/** Views of the payload; undefined when it is not made of records. */
export function readBatch(payload: Uint8Array): AgedRecord[] | undefined {
  if (payload.length > MAX_BATCH_BYTES) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const records: AgedRecord[] = []
  for (let at = 0; at < payload.length;) {
    if (payload.length - at < HEAD_BYTES) return undefined
    const length = view.getUint32(at, true)
    const bytes = payload.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)
    if (length === 0 || length > MAX_RECORD_BYTES || bytes.length < length) return undefined
    records.push({ bytes, age: readAge(view.getUint32(at + 4, true)) })
    at += HEAD_BYTES + length
  }
  return records
}
