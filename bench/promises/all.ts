import { churn } from './churn.ts'
import { corrupt } from './corrupt.ts'
import { freezes, kills, leaves } from './holders.ts'
import { loss } from './loss.ts'
import { manyKills } from './many-kills.ts'
import { noSpare } from './no-spare.ts'
import { origin } from './origin.ts'
import { partition } from './partition.ts'
import { relayed } from './relayed.ts'
import { restart } from './restart.ts'
import { roam } from './roam.ts'
import { slow } from './slow.ts'
import { sleep } from './sleep.ts'
import { soak } from './soak.ts'
import type { Promised } from './report.ts'

/** In the order of the list that they are from. */
export const PROMISES: readonly Promised[] = [
  kills,
  freezes,
  noSpare,
  partition,
  slow,
  loss,
  corrupt,
  restart,
  churn,
  leaves,
  soak,
  relayed,
  sleep,
  roam,
  manyKills,
  origin,
]
