/** What attackers put in place of their updates. */
import type { Seeded } from '../../data/index.ts'
import type { Contribution } from '../rounds/layout.ts'
import type { Attack } from './spec.ts'

/** Sign flips are stretched by this, as in the literature. */
const FLIP = -10

/**
 * @param honest contributions of honest clients of the round, which ALIE looks at (Baruch et al., arXiv 1902.06156)
 * @param most largest magnitude of a coordinate that is accepted: an attacker stays within it
 */
export function attacked(
  kind: Attack,
  own: Contribution,
  honest: readonly Contribution[],
  most: number,
  seeded: Seeded,
): Contribution {
  const bounded = (value: number): number => Math.max(-most, Math.min(most, value))
  const { reals, wide } = own
  switch (kind) {
    case 'sign-flip':
      return { reals: reals.map((value) => bounded(FLIP * value)), wide }
    case 'random':
      return { reals: reals.map(() => bounded(seeded.normal())), wide }
    case 'zeros':
      return { reals: new Float64Array(reals.length), wide }
    case 'nan':
      return { reals: reals.map((value, index) => (index === 0 ? Number.NaN : value)), wide }
    default:
      return { reals: reals.map((_, index) => bounded(alie(honest, index))), wide }
  }
}

/** Mean less 1.2 deviations: small enough to look like one of many. */
function alie(honest: readonly Contribution[], index: number): number {
  const values = honest.map(({ reals }) => reals[index]!)
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
  return mean - 1.2 * spread
}
