/** A round without secure sums: the aggregator sees each contribution, and says so. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { JobView } from './job-view.ts'
import { addContributions, areSingle, contributionBytes, inSingle } from './layout.ts'
import type { Contribution } from './layout.ts'
import type { Pipe } from './pipe.ts'

export interface PlainGuest {
  readonly peer: string
  readonly pipe: Pipe
  readonly contribution?: Contribution
  readonly hello: { readonly float32?: boolean | undefined }
}

/** Whose contribution is wrong never came so far: `readAnswer`. @throws RoundAbortedError with too few */
export async function collectPlain(
  job: JobView,
  session: number,
  guests: readonly PlainGuest[],
  admits: (peer: string) => boolean,
): Promise<void> {
  const good = guests
    .flatMap(({ peer, contribution }) => (contribution === undefined || !admits(peer) ? [] : [{ peer, contribution }]))
    .sort((left, right) => (left.peer < right.peer ? -1 : 1))
  const list = good.map(({ contribution }) => contribution)
  const [first] = list
  if (first === undefined || list.length < job.least) {
    throw new RoundAbortedError(session, 'vectors', `${list.length} of at least ${job.least} members sent one`)
  }
  const shape = { reals: first.reals.length, wide: first.wide.length }
  const all = job.math.sees === 'each' ? list : [inSingle(addContributions(list, shape))]
  const there = guests.filter(({ peer }) => admits(peer))
  // One form for all: what members are told goes into what they sign.
  const isSingle = there.every(({ hello }) => hello.float32 === true) && areSingle(all)
  const payload = Buffer.concat(all.map((one) => contributionBytes(one, isSingle ? 'float32' : 'float64')))
  const body = { members: good.map(({ peer }) => peer), ...(isSingle ? { float32: true } : {}) }
  await Promise.all(there.map(({ pipe }) => pipe.send('result', body, payload).catch(() => undefined)))
}
