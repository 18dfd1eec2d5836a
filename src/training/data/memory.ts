/** What a plan's memory is for: half of it for rows. */
import type { TrainPlan } from '../plan/schema.ts'
import type { LoadNeeds } from './types.ts'

/** Bytes, where the plan says nothing. */
const MEMORY = 2 ** 30
/** Of these, for rows; the rest is for parameters, state and activations. */
export const ROWS_SHARE = 0.5

/** Bytes of a run. */
export function memoryOf({ memory }: TrainPlan): number {
  return memory ?? MEMORY
}

/** Bytes of rows in memory. */
export function rowsMemory(plan: TrainPlan): number {
  return memoryOf(plan) * ROWS_SHARE
}

/** For each source of rows: those of a plan with test data of their own are two, in memory at once. */
export function forEachSource(plan: TrainPlan, needs: LoadNeeds): LoadNeeds {
  return plan.test === undefined ? needs : { ...needs, memory: needs.memory / 2 }
}
