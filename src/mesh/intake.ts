/** Judges each record that arrives, before anything of it is believed or kept. */
import type { Membership } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { checkBody, isRecordKind } from './bodies.ts'
import type { BodyOf } from './bodies.ts'
import { AWAY_KEEP_MS, MAX_EPOCH_JUMP, MAX_PLACED_MODELS, UPDATE_BURST, UPDATES_PER_SECOND } from './limits.ts'
import { latestVersion } from './own-records.ts'
import { standingPlacement } from './placements.ts'
import type { RecordBook } from './record-book.ts'
import { isGenuine, readRecord, recordId } from './records.ts'
import type { MeshRecord, SealedRecord } from './records.ts'

export type Verdict =
  /** Kept: to be passed on. */
  | 'accepted'
  /** Not newer than what is here. */
  | 'known'
  /** Genuine, and not kept: unknown kind, body, future version, no room, not allowed. */
  | 'refused'
  /** Too many updates of one record; anti-entropy brings the last one later. */
  | 'limited'
  /** Of our own, from an earlier life, newer than what we have. */
  | 'own'
  /** No record, or not signed by its author: whoever passed it on does not check. */
  | 'forged'

export interface IntakeNeeds {
  readonly self: string
  readonly clock: Clock
  readonly book: RecordBook
  readonly membership: Membership
}

export interface Judged {
  readonly verdict: Verdict
  readonly why: string
  readonly record?: MeshRecord
}

export interface Intake {
  /** `age`: milliseconds since who sends it has heard the author. `from`: who sends it. */
  offer(bytes: Uint8Array, age: number, from: string): Judged
  /** What this peer had taken in an earlier life: whom it was by may have been removed since, and it stands all the same. */
  restore(bytes: Uint8Array): Judged
}

export function createIntake(needs: IntakeNeeds): Intake {
  const { book, clock } = needs
  const limited = createRateLimit(clock)

  const isLetIn = ({ author, kind, version, ...rest }: MeshRecord): boolean => {
    if (needs.membership.admits(author, 'connect')) return true
    // for good: nobody has to send it again
    if (needs.membership.isRemoved(author)) book.shadows.add(recordId({ author, kind, ...rest }), version, 'refused')
    return false
  }
  const judge = (sealed: SealedRecord, age: number, from: string, again = false): readonly [Verdict, string] => {
    const { record } = sealed
    const known = book.version(record)
    if (record.version <= known) return ['known', '']
    if (!again && !isLetIn(record)) return ['refused', 'its author is not admitted']
    if (age > AWAY_KEEP_MS && record.kind !== 'placement') return ['refused', 'its author was not heard for long']
    // Signature first: else forgeries would use up what the author may send.
    if (!isGenuine(sealed)) return ['forged', 'the signature is not that of its author']
    // The first is no update: it costs no bucket, and a mesh that comes up has none at all.
    if (record.author !== needs.self && known > 0 && limited(recordId(record))) return ['limited', 'updated too often']
    const refuse = (why: string): readonly [Verdict, string] => {
      book.shadows.add(recordId(record), record.version, 'refused')
      return ['refused', why]
    }
    if (record.author === needs.self && record.kind !== 'placement') return ['own', '']
    if (record.version > latestVersion(clock)) return ['refused', 'its version is from the future']
    if (!isRecordKind(record.kind)) return refuse(`its kind ${record.kind} is not known here`)
    const body = checkBody(record.kind, record.key, record.body)
    if (body === undefined) return refuse(`its body is no ${record.kind}`)
    if (body !== null && 'epoch' in body) {
      const why = refusedPlacement(needs, record, body, again)
      if (why !== undefined) return refuse(why)
    }
    if (!book.keep(sealed, body)) return refuse('its author or the book is at a limit')
    book.heard(record.author, from === record.author ? 0 : age)
    return ['accepted', '']
  }

  const offer = (bytes: Uint8Array, age: number, from: string, again = false): Judged => {
    if (book.has(bytes)) return { verdict: 'known', why: '' }
    const sealed = readRecord(bytes)
    if (sealed === undefined) return { verdict: 'forged', why: 'the bytes are no record' }
    const [verdict, why] = judge(sealed, age, from, again)
    return { verdict, why, record: sealed.record }
  }
  return {
    offer: (bytes, age, from) => offer(bytes, age, from),
    restore: (bytes) => offer(bytes, Infinity, needs.self, true),
  }
}

function refusedPlacement(
  { book, membership, self }: IntakeNeeds,
  { author, key }: MeshRecord,
  body: BodyOf<'placement'>,
  again: boolean,
): string | undefined {
  if (!again && author !== self && !membership.admits(author, 'place')) return 'its author may not place models'
  const standing = standingPlacement(book, key)
  if (body.epoch > (standing?.body.epoch ?? 0) + MAX_EPOCH_JUMP) return 'its epoch is too far ahead'
  const models = new Set(book.ofKind('placement').map((record) => record.key))
  if (!models.has(key) && models.size >= MAX_PLACED_MODELS) return 'too many models are placed'
  return undefined
}

/** True when a record was updated too often: a bucket a record, forgotten when it is full again. */
function createRateLimit(clock: Clock): (id: string) => boolean {
  const buckets = new Map<string, { tokens: number; at: number }>()
  let sweptAt = clock.now()
  return (id) => {
    const now = clock.now()
    const bucket = buckets.get(id) ?? { tokens: UPDATE_BURST - 1, at: now }
    bucket.tokens = Math.min(UPDATE_BURST, bucket.tokens + ((now - bucket.at) / 1000) * UPDATES_PER_SECOND)
    bucket.at = now
    if (bucket.tokens < 1) return true
    bucket.tokens -= 1
    buckets.set(id, bucket)
    if (now - sweptAt > REFILL_MS || buckets.size > 8192) {
      forgetFull(buckets, now)
      sweptAt = now
    }
    return false
  }
}

const REFILL_MS = (UPDATE_BURST / UPDATES_PER_SECOND) * 1000

function forgetFull(buckets: Map<string, { tokens: number; at: number }>, now: number): void {
  for (const [id, { at }] of buckets) if (now - at > REFILL_MS) buckets.delete(id)
  // Under a flood of new ids nothing is old: then all begin anew, which costs a burst each and no memory.
  if (buckets.size > 8192) buckets.clear()
}
