/** All attacks of the suite, by the numbers of the threat lists in docs/federated.md and docs/cluster.md. */
import type { Attack } from './attack.ts'
import { deepInversion } from './deep-inversion.ts'
import { crowded } from './crowded.ts'
import { egress } from './egress.ts'
import { invites } from './invites.ts'
import { inconsistentModels, singleGradient, sumOfSites } from './inversion.ts'
import { membership } from './membership.ts'
import { outside } from './outside.ts'
import { overspending } from './overspending.ts'
import { poisonedData } from './poisoned-data.ts'
import { participant } from './participant.ts'
import { poisoning } from './poisoning.ts'
import { prompts } from './prompts.ts'
import { removed } from './removed.ts'
import { freeRiding, twoSets } from './survivors.ts'
import { stolenDisk } from './stolen-disk.ts'
import { sybil } from './sybil.ts'

export const ATTACKS: readonly Attack[] = [
  singleGradient,
  sumOfSites,
  inconsistentModels,
  deepInversion,
  prompts,
  poisoning,
  poisonedData,
  freeRiding,
  invites,
  removed,
  participant,
  sybil,
  outside,
  crowded,
  membership,
  overspending,
  egress,
  twoSets,
  stolenDisk,
]
