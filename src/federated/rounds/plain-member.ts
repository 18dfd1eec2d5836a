/** A member's part in a round without secure sums: whoever aggregates sees what it adds. */
import { JobRefusedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import { addContributions, clearBytes, contributionBytes, readContribution } from './layout.ts'
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
}

export interface PlainNeeds {
  readonly job: JobView
  readonly standing: MemberState
  readonly times: { readonly silenceMs: number }
  readonly before?: ((stage: string) => Promise<void>) | undefined
  readonly stage: (name: string) => void
}

export async function tellPlain(needs: PlainNeeds, pipe: Pipe, contribution: Contribution): Promise<Outcome> {
  const { job, standing, times } = needs
  const { state } = standing.current
  await needs.before?.('masked')
  await pipe.send('plain', {}, contributionBytes(contribution))
  needs.stage('sent')
  const message = await expectOf(pipe, ['result'], times.silenceMs)
  const { members } = bodyOf('result', message)
  const shape = job.math.shape(state)
  const isSeen = job.math.sees === 'each' && state.pooled !== null
  const size = clearBytes(shape)
  const count = job.math.sees === 'each' ? members.length : 1
  if (count === 0 || message.payload.length !== count * size) {
    throw new JobRefusedError(job.id, 'the result has another length')
  }
  const all = Array.from({ length: count }, (_, index) =>
    readContribution(message.payload.subarray(index * size, (index + 1) * size), shape),
  )
  const sums = addContributions(all, shape)
  const transcript = toldHash(undefined, members, [], message.payload)
  return { sums, survivors: members.length, members, transcript, ...(isSeen ? { each: all } : {}) }
}
