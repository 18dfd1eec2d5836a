/** Updates that count in a round after the one whose model they were trained from (Nguyen et al., arXiv 2106.06639, section 4). */
import type { Contribution } from '../rounds/layout.ts'
import { fixedOf } from '../rounds/wide.ts'
import type { Prepared } from './site.ts'

/** What a buffered update adds to the sum, with its age as one more number of it. @param age rounds since that model */
export function aged({ reals, wide }: Contribution, age: number): Contribution {
  const weight = 1 / Math.sqrt(1 + age)
  return { reals: age === 0 ? reals : reals.map((value) => value * weight), wide: [...wide, fixedOf(age)] }
}

/** @param from models that there were when it was trained */
export function buffered(prepared: Prepared, from: number): Prepared {
  const { contribution } = prepared
  const at = (done: number): Prepared => {
    const age = Math.max(0, done - from)
    // After a restart an older one would be trained from another model.
    return { ...prepared, contribution: aged(contribution, age), age, ...(age > 0 ? { isRepeatable: false } : {}), at }
  }
  return at(from)
}
