/** What training with classes that count the same goes with. */
import { FedPlanError } from './errors.ts'
import type { FedPlan } from './schema.ts'

/** @throws FedPlanError */
export function checkBalance({ local, task, privacy = 'off' }: FedPlan, where: string): void {
  if (local.balance !== true) return
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  if (task !== 'binary' && task !== 'multiclass') throw wrong('local.balance', 'is for records of classes')
  if (privacy !== 'off' && privacy.unit === 'record') {
    throw wrong('local.balance', 'takes records more than once, and privacy of records takes each by chance')
  }
}
