/** The records that this peer authors: versions that rise across restarts, signing in order, what to publish again. */
import type { Clock } from '../util/index.ts'
import type { BodyOf } from './bodies.ts'
import { RecordTooLargeError } from './errors.ts'
import { CLOCK_FLOOR_MS, MAX_BYTES_PER_AUTHOR, MAX_FUTURE_MS } from './limits.ts'
import type { RecordBook } from './record-book.ts'
import type { StoredRecord } from './stored-record.ts'
import { recordId, sealRecord } from './records.ts'
import type { MeshRecord, Signer } from './records.ts'
import type { RecordKind } from './types.ts'

export interface OwnRecords {
  /** Highest version ever used. */
  highest(): number
  /** From an earlier life: what was used then. */
  restore(highest: number): void
  /** A record of ours came back, newer than any we know: the home was restored from an older copy. */
  observe(record: MeshRecord): void
  /** Signs and keeps; `body` is asked for when it is this record's turn. @throws RecordTooLargeError */
  publish<Kind extends RecordKind>(kind: Kind, key: string, body: () => BodyOf<Kind>): Promise<StoredRecord<Kind>>
}

export interface OwnRecordsNeeds {
  readonly signer: Signer
  readonly clock: Clock
  readonly book: RecordBook
  readonly published: (record: StoredRecord) => void
}

/** The highest version that is taken from anybody now. */
export function latestVersion(clock: Clock): number {
  return Math.max(clock.wall(), CLOCK_FLOOR_MS) + MAX_FUTURE_MS
}

export function createOwnRecords(needs: OwnRecordsNeeds): OwnRecords {
  const { book, clock, signer } = needs
  let highest = 0
  let turn: Promise<unknown> = Promise.resolve()

  const nextVersion = (): number => {
    highest = Math.max(highest + 1, Math.floor(clock.wall()))
    return highest
  }

  const publishNow = async <Kind extends RecordKind>(
    kind: Kind,
    key: string,
    body: () => BodyOf<Kind>,
  ): Promise<StoredRecord<Kind>> => {
    const content = body()
    const sealed = await sealRecord(signer, { kind, key, version: nextVersion(), body: content })
    if (!book.keep(sealed, content)) throw new RecordTooLargeError(kind, sealed.bytes.length, MAX_BYTES_PER_AUTHOR)
    const record = book.get(recordId(sealed.record)) as StoredRecord<Kind>
    needs.published(record)
    return record
  }

  return {
    highest: () => highest,
    restore(version) {
      // A version beyond the bound was never taken by anybody, and would keep us mute for ever.
      if (Number.isSafeInteger(version) && version <= latestVersion(clock)) highest = Math.max(highest, version)
    },
    observe(record) {
      highest = Math.max(highest, record.version)
    },
    publish(kind, key, body) {
      const run = turn.then(() => publishNow(kind, key, body))
      turn = run.catch(() => undefined)
      return run
    },
  }
}
