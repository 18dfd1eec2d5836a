/** Whether a placement was left because it had become slow: worth another look now and then, in case it has recovered. */
import { predictStages, valueOf } from '../plan.ts'
import { ORIGIN } from '../types.ts'
import { URGENT_GAIN } from './limits.ts'
import { isReadyAt, placed } from './moving.ts'
import type { LivingState } from './types.ts'

/** What was left is, by the figures of now, so much slower that it is not waited for. */
export function hasBecomeSlow({ input, stages, note: { before } }: LivingState): boolean {
  const there = new Set([ORIGIN, ...input.peers.map(({ id }) => id)])
  if (before === undefined || ![...before, ...stages].every(({ peer }) => there.has(peer))) return false
  const [now, then] = [stages, before].map((each) => valueOf(input.objective, predictStages(input, each)))
  return now! <= then! * (1 - URGENT_GAIN)
}

/** What was left is still loaded, so that it can be tried. */
export function isStillReady({ held, note: { before } }: LivingState): boolean {
  return before !== undefined && placed(before).every((stage) => isReadyAt(held, stage))
}
