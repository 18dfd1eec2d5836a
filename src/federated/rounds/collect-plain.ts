/** A round without secure sums: the aggregator sees each contribution, and says so. */
import { JobRefusedError } from '../plan/errors.ts'
import type { Dropped } from './collector.ts'
import type { JobView } from './job-view.ts'
import { addContributions } from './layout.ts'
import type { Contribution } from './layout.ts'
import type { Pipe } from './pipe.ts'
import { sendRefusal } from './wire.ts'

export interface PlainGuest {
  readonly peer: string
  readonly pipe: Pipe
  readonly contribution?: Contribution
}

export async function collectPlain(job: JobView, guests: readonly PlainGuest[]): Promise<readonly Dropped[]> {
  const dropped: Dropped[] = []
  const good: { readonly peer: string; readonly contribution: Contribution }[] = []
  for (const { peer, pipe, contribution } of guests.toSorted((left, right) => (left.peer < right.peer ? -1 : 1))) {
    const at = contribution?.reals.findIndex((value) => !Number.isFinite(value)) ?? -1
    if (contribution !== undefined && at < 0) good.push({ peer, contribution })
    else {
      const why = `coordinate ${at} of its update is ${contribution?.reals[at]}`
      dropped.push({ peer, stage: 'vectors', why })
      await sendRefusal(pipe, new JobRefusedError(job.id, why), false)
    }
  }
  const isSeen = job.math.strategy.sees === 'each'
  const sums = good.map(({ contribution }) => contribution)
  const all = isSeen
    ? sums
    : [addContributions(sums, { reals: sums[0]?.reals.length ?? 0, wide: sums[0]?.wide.length ?? 0 })]
  const payload = Buffer.concat(
    all.map(({ reals }) => new Uint8Array(reals.buffer, reals.byteOffset, reals.byteLength)),
  )
  const body = { members: good.map(({ peer }) => peer), wide: all.map(({ wide }) => wide.map(String)) }
  await Promise.all(guests.map(({ pipe }) => pipe.send('result', body, payload).catch(() => undefined)))
  return dropped
}
