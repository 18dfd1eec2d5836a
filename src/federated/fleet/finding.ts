/** Which job a word means: one of this home, or one that other peers have. */
import { JobAmbiguousError, JobUnknownError, PlanChangedError } from '../plan/errors.ts'
import { askFor } from './asking.ts'
import type { Asking } from './asking.ts'
import type { Offer } from './documents.ts'
import { jobById, jobsNamed } from './job-folder.ts'
import type { JobFolder } from './job-folder.ts'

/**
 * The offer that somebody says yes to by its id, or by the name of its plan. A name is asked for elsewhere whatever this home
 * has: another job of that name may be the one that is meant.
 * @throws JobUnknownError, JobAmbiguousError, PlanChangedError
 */
export async function offerToJoin(
  asking: Asking,
  folders: ReadonlyMap<string, JobFolder>,
  { job, hash }: { readonly job: string; readonly hash?: string | undefined },
  signal?: AbortSignal,
): Promise<Offer> {
  const own = jobById(folders, job)?.offer
  const named = jobsNamed(folders, job).flatMap(({ offer }) =>
    (hash ?? offer.plan_hash) === offer.plan_hash ? [offer] : [],
  )
  const offer = own ?? (await askFor(asking, { job, hash, known: named }, signal))
  if (offer === undefined) throw new JobUnknownError(job)
  if (hash !== undefined && hash !== offer.plan_hash) throw new PlanChangedError(offer.job, hash, offer.plan_hash)
  return offer
}

/** A job of this home. @throws JobUnknownError; JobAmbiguousError: several have that name */
export function lookUp(folders: ReadonlyMap<string, JobFolder>, job: string): JobFolder {
  const named = jobsNamed(folders, job)
  const found = jobById(folders, job) ?? named[0]
  if (found === undefined) throw new JobUnknownError(job)
  if (found === named[0] && named.length > 1)
    throw new JobAmbiguousError(
      job,
      named.map(({ offer }) => offer),
    )
  return found
}
