/** What a plan says of smaller updates. */
import type { FedPlan } from '../plan/schema.ts'
import { ParameterRangeError } from '../errors.ts'
import { lowRank } from './low-rank.ts'
import { randomK } from './random-k.ts'
import type { Compression } from './types.ts'

/** @param job its id: what all members draw follows from it. Undefined: updates are sent whole */
export function compressionOf({ compression, name }: FedPlan, job: string | undefined): Compression | undefined {
  if (compression === undefined) return undefined
  if (job === undefined) throw new ParameterRangeError('what a compression draws follows from the id of a job')
  if (compression.kind === 'low-rank') return lowRank(job, compression.rank, name)
  return randomK(job, compression.share, compression.feedback ?? true)
}
