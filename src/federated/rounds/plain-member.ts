/** A member's part in a round without secure sums: whoever aggregates sees what it adds. */
import { JobRefusedError } from '../plan/errors.ts'
import type { Site } from '../site/site.ts'
import type { JobView } from './job-view.ts'
import { addContributions } from './layout.ts'
import type { Contribution, Sums } from './layout.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'
import { bodyOf, expectOf } from './wire.ts'

/** What a sum gave, and of whom. */
export interface Outcome {
  readonly sums: Sums
  readonly survivors: number
  readonly members?: readonly string[]
  /** Where each contribution is seen. */
  readonly each?: readonly Contribution[]
}

export interface PlainNeeds {
  readonly job: JobView
  readonly standing: MemberState
  readonly site: Site
  readonly times: { readonly silenceMs: number }
  readonly before?: ((stage: string) => Promise<void>) | undefined
  readonly stage: (name: string) => void
}

export async function tellPlain(needs: PlainNeeds, pipe: Pipe, { reals, wide }: Contribution): Promise<Outcome> {
  const { job, standing, times, site } = needs
  const { state } = standing.current
  const bytes = new Uint8Array(reals.buffer, reals.byteOffset, reals.byteLength)
  await needs.before?.('masked')
  await pipe.send('plain', { wide: wide.map(String), records: site.trainer.records }, bytes)
  needs.stage('sent')
  const message = await expectOf(pipe, ['result'], times.silenceMs)
  const { members, wide: texts } = bodyOf('result', message)
  const shape = job.math.shape(state)
  const all = texts.map((list, index): Contribution => {
    const from = 8 * shape.reals * index
    const own = new Uint8Array(message.payload.subarray(from, from + 8 * shape.reals))
    if (own.length !== 8 * shape.reals || list.length !== shape.wide) {
      throw new JobRefusedError(job.id, 'the result has another length')
    }
    return { reals: new Float64Array(own.buffer), wide: list.map(BigInt) }
  })
  if (all.length === 0) throw new JobRefusedError(job.id, 'the result is empty')
  const isSeen = job.math.strategy.sees === 'each' && state.pooled !== null
  const sums = addContributions(all, shape)
  return { sums, survivors: members.length, members, ...(isSeen ? { each: all } : {}) }
}
