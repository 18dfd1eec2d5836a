/** All attacks of the suite, by the numbers of the threat list in docs/federated.md. */
import type { Attack } from './attack.ts'
import { egress } from './egress.ts'
import { inconsistentModels, singleGradient, sumOfSites } from './inversion.ts'
import { membership } from './membership.ts'
import { overspending } from './overspending.ts'
import { poisoning } from './poisoning.ts'
import { freeRiding, twoSets } from './survivors.ts'

export const ATTACKS: readonly Attack[] = [
  singleGradient,
  sumOfSites,
  inconsistentModels,
  poisoning,
  freeRiding,
  membership,
  overspending,
  egress,
  twoSets,
]
