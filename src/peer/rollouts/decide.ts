/** Who gets a candidate, and what becomes of it: pure, so that it can be said beforehand. */
import { createHash } from 'node:crypto'
import type { Candidate, RolloutSpec } from './record.ts'

/** By a hash of alias, candidate and request: the same request always gets the same, and another candidate is tried on others. */
export function isCanary(alias: string, candidate: string, request: string, share: number): boolean {
  const digest = createHash('sha256').update(`${alias}\n${candidate}\n${request}`).digest()
  return digest.readUInt32BE(0) / 2 ** 32 < share
}

export type Verdict = { readonly is: 'wait' } | { readonly is: 'promote' | 'back'; readonly why: string }

/** Before anybody is answered by it. @param live loss of what serves, on the same records; null: there are none */
export function verdictOfLoss(loss: number | null, live: number | null, { margin }: RolloutSpec): Verdict {
  if (loss === null || live === null) return { is: 'wait' }
  const said = `loss ${loss.toPrecision(6)}, ${live.toPrecision(6)} of what serves, margin ${margin}`
  if (!Number.isFinite(loss) || loss > live + margin) return { is: 'back', why: said }
  return { is: 'promote', why: said }
}

/** As soon as it is certain, whatever the requests that are still to come will be. */
export function verdictOfRequests({ tried, beside }: Candidate, { requests, tolerance }: RolloutSpec): Verdict {
  const usual = beside.served === 0 ? 0 : beside.failed / beside.served
  const most = (usual + tolerance) * requests
  const said = `${tried.failed} of ${tried.served} requests failed, ${beside.failed} of ${beside.served} beside it`
  if (tried.failed > most) return { is: 'back', why: said }
  return tried.served < requests ? { is: 'wait' } : { is: 'promote', why: said }
}
