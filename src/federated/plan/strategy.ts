/** What the strategy of a plan must see. */
import { createStrategy } from '../aggregation/strategies.ts'
import type { Sight } from '../aggregation/types.ts'
import { FedPlanError } from './errors.ts'
import { issueOf } from './issue.ts'
import type { FedPlan } from './schema.ts'

/** Parameters of the strategy, as `createStrategy` takes them. */
export function strategyParameters({ strategy, local }: FedPlan): Record<string, unknown> {
  const { name, ...parameters } = strategy
  if (name === 'scaffold') return { lr: local.lr, ...parameters }
  if (name === 'qfedavg') return { lr: local.lr, ...parameters }
  if (name === 'bucketed') return { sid: '00'.repeat(32), ...parameters }
  return parameters
}

/** Of any strategy: a plan whose strategy was changed may keep what the one before took. */
const PARAMETERS =
  'name weights server_lr momentum beta1 beta2 tau lr total_clients q group clip rule sid trim iterations nu f m most_records'.split(
    ' ',
  )

/** @throws FedPlanError: a parameter that no strategy has would be passed over in silence */
export function checkStrategyFields({ strategy }: FedPlan, where: string): void {
  const unknown = Object.keys(strategy).find((name) => !PARAMETERS.includes(name))
  if (unknown === undefined) return
  if (unknown === 'mu')
    throw new FedPlanError(where, 'strategy.mu', 'is no field of it: mu of FedProx is "proximal" in "local"')
  throw issueOf(where, { path: ['strategy'], message: '', keys: [unknown] }, PARAMETERS)
}

/** @throws FedPlanError */
export function shared(plan: FedPlan, where: string): Sight {
  try {
    return createStrategy(plan.strategy.name, strategyParameters(plan)).sees
  } catch (error) {
    throw new FedPlanError(where, 'strategy', (error as Error).message, error)
  }
}
