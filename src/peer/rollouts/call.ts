/** What is asked of roll-outs by name. */
import { z } from 'zod'
import { rolloutSpec } from './record.ts'
import type { Rollouts } from './rollouts.ts'

const spec = rolloutSpec.partial().shape

export const rolloutCallSchema = z.strictObject({
  op: z.literal('rollout'),
  job: z.string().min(1).max(200),
  do: z.enum(['begin', 'status', 'promote', 'back', 'end']),
  ...spec,
  alias: z.string().max(64).optional(),
})

export type RolloutCall = z.output<typeof rolloutCallSchema>

/** @throws JobUnknownError, RolloutUnknownError, RolloutStateError */
export function callRollouts(rollouts: Rollouts, call: RolloutCall): Promise<object> {
  const { job } = call
  switch (call.do) {
    case 'begin': {
      const { alias, canary, requests, every, margin, tolerance } = call
      return rollouts.begin({ job, alias, canary, requests, every, margin, tolerance })
    }
    case 'promote':
      return rollouts.promote(job)
    case 'back':
      return rollouts.back(job)
    case 'end':
      return rollouts.end(job)
    default:
      return Promise.resolve(rollouts.status(job))
  }
}
