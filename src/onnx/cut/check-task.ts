/** A check as a task of its own, JSON-safe, so that another process can do it. */
import type { Optimization } from '../engine.ts'
import type { ValueInfo } from '../ir/index.ts'
import { checkPartitions, isRepeatable, runWhole } from './check.ts'
import type { CheckedModel, CheckNeeds, CheckOutcome } from './check.ts'

export interface CheckTask {
  readonly whole: {
    readonly path: string
    readonly inputs: readonly ValueInfo[]
    readonly outputs: readonly string[]
  }
  readonly parts: readonly CheckedModel[]
  readonly optimization: Optimization
  /** The parts' times are wanted. @default false */
  readonly measured?: boolean | undefined
  /** Something in it may draw random numbers: in one process whole and parts may draw the same ones. @default false */
  readonly chance?: boolean | undefined
}

export type CheckResult =
  | CheckOutcome
  /** The whole model gives other results each time that it is run. */
  | { readonly kind: 'unrepeatable' }

export async function runCheck(needs: CheckNeeds, task: CheckTask): Promise<CheckResult> {
  const whole = await runWhole(needs, task.whole, task.optimization)
  const outcome = await checkPartitions(needs, whole, task.parts, task)
  const isDoubtful = outcome.kind === 'differs' || (outcome.kind === 'equal' && task.chance === true)
  if (!isDoubtful || (await isRepeatable(needs, task.whole.path, whole))) return outcome
  return { kind: 'unrepeatable' }
}
