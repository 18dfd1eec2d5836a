/** Which runs are made of shares, and the stepper of one. */
import type { Checkpointing } from '../autodiff/types.ts'
import type { Examples } from '../data/index.ts'
import { PlanFieldError } from '../errors.ts'
import type { Forward } from '../graph/forward.ts'
import { gradientGraph } from '../graph/step.ts'
import type { SessionNeeds } from '../loop/sessions.ts'
import { firstValues } from '../loop/stepper.ts'
import type { Stepper } from '../loop/stepper.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { GradientSession } from './gradient-session.ts'
import { localLine } from './line.ts'
import type { GradientLine, OpenGradients } from './line.ts'
import { SharedStepper } from './stepper.ts'
import { checkTask, formsOf, gradientTaskOf } from './task.ts'

/** @param peers that are to compute gradients; 0: this process alone. @throws PlanFieldError, GradientTaskError */
export function checkShares(plan: TrainPlan, path: string, peers: number): void {
  const { accumulate = 1, shares = accumulate, batch } = plan
  if (shares > accumulate) {
    throw new PlanFieldError(path, 'shares', `a step has ${accumulate} batches ("accumulate"), and ${shares} shares`)
  }
  if (peers > 0) checkTask(plan)
  if (peers <= 1) return
  if (batch === 'full') throw new PlanFieldError(path, 'batch', `${peers} peers cannot share one batch`)
  if (shares >= peers) return
  const field = shares < accumulate ? 'shares' : 'accumulate'
  throw new PlanFieldError(path, field, `${peers} peers share a step, and it has ${shares}: give it as many at least`)
}

/** Whether steps are added up out of shares, here or elsewhere; else one graph does all of it. */
export function isShared({ accumulate = 1, shares = accumulate, gradients }: TrainPlan): boolean {
  return gradients === 'int8' || shares < accumulate
}

export interface SharedRun {
  readonly plan: TrainPlan
  readonly forward: Forward
  readonly examples: Examples
  readonly activations: Checkpointing | undefined
  readonly sessions: SessionNeeds
  /** @default this process */
  readonly gradients: OpenGradients | undefined
}

/** @throws GradientTaskError, what peers refuse with, and the errors of the engine and the disk */
export async function openSharedStepper(run: SharedRun, signal?: AbortSignal): Promise<Stepper> {
  const { plan, forward, sessions } = run
  const line = await openLine(run, signal)
  try {
    return await SharedStepper.open(sessions, plan, forward, firstValues(forward), line, signal)
  } catch (error) {
    await line.close()
    throw error
  }
}

async function openLine(run: SharedRun, signal?: AbortSignal): Promise<GradientLine> {
  const { plan, forward, examples, activations, sessions } = run
  const { gradients = 'float32' } = plan
  const parameters = formsOf(forward)
  if (run.gradients !== undefined) {
    const task = gradientTaskOf(plan, examples, activations)
    const { threads } = sessions.options
    return run.gradients.open({ task, name: plan.name ?? 'model', parameters, threads, gradients }, signal)
  }
  const graph = { model: gradientGraph(plan, forward, activations), parameters }
  const session = await GradientSession.open(sessions, graph, gradients)
  return localLine(session, parameters, () => session.close())
}
