/** Updates made smaller in a way that sums do not mind. */
import { z } from 'zod'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

export const compressionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('random-k'),
    /** Of the coordinates, in each round. */
    share: z.number().gt(0).lt(1),
    /** What is not sent is kept for the next round; without it what is sent is stretched. @default true */
    feedback: z.boolean().optional(),
  }),
  z.strictObject({ kind: z.literal('low-rank'), rank: z.int().min(1).max(64) }),
])

/** Strategies whose members send their update and nothing else, in rounds that all begin from one model. */
const STRATEGIES: readonly string[] = ['fedavg', 'fedprox', 'fedavgm', 'fedadagrad', 'fedadam', 'fedyogi']

/** @throws FedPlanError */
export function checkCompression(plan: FedPlan, where: string): void {
  const { compression, strategy, privacy = 'off' } = plan
  if (compression === undefined) return
  const wrong = (why: string): FedPlanError => new FedPlanError(where, 'compression', why)
  if (!STRATEGIES.includes(strategy.name)) {
    throw wrong(`does not go with the strategy "${strategy.name}": it goes with ${STRATEGIES.join(', ')}`)
  }
  if (privacy !== 'off') {
    throw wrong('does not go with "privacy": what a site keeps for later would leave it without being accounted for')
  }
}
