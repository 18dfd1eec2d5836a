/** A check as a task of its own, JSON-safe, so that another process can do it. */
import type { AnyTensor, Optimization } from '../engine.ts'
import type { ValueInfo } from '../ir/index.ts'
import { checkPartitions, isRepeatable, runWhole } from './check.ts'
import type { CheckedModel, CheckNeeds, CheckOutcome, WholeRuns } from './check.ts'

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
  /** Nothing is compared: what the outputs of the whole are is wanted. @default false */
  readonly observed?: boolean | undefined
}

/** A tensor that the engine gave, of the same type and rank in all cases. */
export interface ObservedValue {
  readonly type: AnyTensor['type']
  readonly rank: number
}

export type CheckResult =
  | CheckOutcome
  /** The whole model gives other results each time that it is run. */
  | { readonly kind: 'unrepeatable' }
  /** What was asked for, by name: outputs of which no two cases tell the same are missing. */
  | { readonly kind: 'observed'; readonly values: readonly (readonly [name: string, value: ObservedValue])[] }

export async function runCheck(needs: CheckNeeds, task: CheckTask): Promise<CheckResult> {
  const whole = await runWhole(needs, task.whole, task.optimization)
  if (task.observed === true) return { kind: 'observed', values: observedIn(whole, task.whole.inputs) }
  const outcome = await checkPartitions(needs, whole, task.parts, task)
  const isDoubtful = outcome.kind === 'differs' || (outcome.kind === 'equal' && task.chance === true)
  if (!isDoubtful || (await isRepeatable(needs, task.whole.path, whole))) return outcome
  return { kind: 'unrepeatable' }
}

/** One case tells enough where no size is free: there is no other. */
function observedIn(
  { cases }: WholeRuns,
  inputs: readonly ValueInfo[],
): readonly (readonly [name: string, value: ObservedValue])[] {
  const isFixed = inputs.every(
    ({ type }) => type?.kind === 'tensor' && type.shape?.every((size) => typeof size === 'number'),
  )
  const [first, ...others] = cases
  if (first === undefined || (others.length === 0 && !isFixed)) return []
  return [...first.values].filter(([name, { type, rank }]) =>
    others.every(({ values }) => values.get(name)?.type === type && values.get(name)?.rank === rank),
  )
}
