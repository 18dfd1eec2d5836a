/** What the strategy of a plan must see. */
import { createStrategy } from '../aggregation/strategies.ts'
import type { Sight } from '../aggregation/types.ts'
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

/** Parameters of the strategy, as `createStrategy` takes them. */
export function strategyParameters({ strategy, local }: FedPlan): Record<string, unknown> {
  const { name, ...parameters } = strategy
  if (name === 'scaffold') return { lr: local.lr, ...parameters }
  if (name === 'qfedavg') return { lr: local.lr, ...parameters }
  if (name === 'bucketed') return { sid: '00'.repeat(32), ...parameters }
  return parameters
}

/** @throws FedPlanError */
export function shared(plan: FedPlan, where: string): Sight {
  try {
    return createStrategy(plan.strategy.name, strategyParameters(plan)).sees
  } catch (error) {
    throw new FedPlanError(where, 'strategy', (error as Error).message, error)
  }
}
