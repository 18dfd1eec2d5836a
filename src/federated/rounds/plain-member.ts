/** A member's part in a round without secure sums: whoever aggregates sees what it adds. */
import { JobRefusedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import { addContributions, areSingle, clearBytes, contributionBytes, inSingle, readContribution } from './layout.ts'
import type { Contribution, Sums } from './layout.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'
import type { BucketSum } from './sum-math.ts'
import { toldHash } from './signed-result.ts'
import { bodyOf, expectOf } from './wire.ts'

/** What a sum gave, and of whom. */
export interface Outcome {
  readonly sums: Sums
  readonly survivors: number
  readonly members?: readonly string[]
  /** Of a secure sum: its session, and the digest of what was told. */
  readonly told?: { readonly sid: Uint8Array; readonly digest: Uint8Array }
  /** `toldHash` of it. */
  readonly transcript: Uint8Array
  /** Where the round is made of buckets: of each. */
  readonly buckets?: readonly BucketSum[]
  /** Where each contribution is seen. */
  readonly each?: readonly Contribution[]
  /** Of the vector that left, where it is another number than the plan gives. */
  readonly bytes?: number
}

export interface PlainNeeds {
  readonly job: JobView
  readonly standing: MemberState
  readonly times: { readonly silenceMs: number }
  readonly before?: ((stage: string) => Promise<void>) | undefined
  readonly stage: (name: string) => void
}

/** @param readsSingle whether the aggregator reads float32 */
export async function tellPlain(
  needs: PlainNeeds,
  pipe: Pipe,
  prepared: Contribution,
  readsSingle: boolean,
): Promise<Outcome> {
  const { job, standing, times } = needs
  const { state } = standing.current
  await needs.before?.('masked')
  const contribution = inSingle(prepared)
  const float32 = readsSingle && areSingle([contribution])
  const bytes = contributionBytes(contribution, float32 ? 'float32' : 'float64')
  await pipe.send('plain', float32 ? { float32 } : {}, bytes)
  needs.stage('sent')
  const message = await expectOf(pipe, ['result'], times.silenceMs)
  const { members, float32: isSingle = false } = bodyOf('result', message)
  const format = isSingle ? 'float32' : 'float64'
  const shape = job.math.shape(state)
  const isSeen = job.math.sees === 'each' && state.pooled !== null
  const size = clearBytes(shape, format)
  const count = job.math.sees === 'each' ? members.length : 1
  if (count === 0 || message.payload.length !== count * size) {
    throw new JobRefusedError(job.id, 'the result has another length')
  }
  const all = Array.from({ length: count }, (_, index) =>
    readContribution(message.payload.subarray(index * size, (index + 1) * size), shape, format),
  )
  const sums = addContributions(all, shape)
  const transcript = toldHash(undefined, members, [], message.payload)
  const outcome = { sums, survivors: members.length, members, transcript, bytes: bytes.length }
  return { ...outcome, ...(isSeen ? { each: all } : {}) }
}
