/** The steps of a run whose gradients others compute: parameters, state and the update stay here. */
import type { Tensor } from '../../onnx/index.ts'
import { summed, updateGraph } from '../graph/step.ts'
import { openSession, scalarTensor } from '../loop/sessions.ts'
import type { Session, SessionNeeds } from '../loop/sessions.ts'
import type { Batch, StepPlace, Stepper, Tensors } from '../loop/stepper.ts'
import type { Forward } from '../graph/forward.ts'
import { next, stepInputs } from '../optimizers/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { sharesOf, sumOf } from './line.ts'
import type { GradientLine } from './line.ts'
import { formsOf } from './task.ts'
import type { ParameterForm } from './task.ts'

interface SharedInit {
  readonly plan: TrainPlan
  readonly forms: readonly ParameterForm[]
  readonly line: GradientLine
  readonly update: Session
  readonly signal: AbortSignal | undefined
}

export class SharedStepper implements Stepper {
  parameters: Tensors
  state: Tensors
  /** What was is read by whoever was told it last, so it is left to the collector. */
  readonly freed = 0
  readonly #init: SharedInit

  private constructor(init: SharedInit, parameters: Tensors, state: Tensors) {
    this.#init = init
    this.parameters = parameters
    this.state = state
  }

  /** @param first the values that the run begins with */
  static async open(
    sessions: SessionNeeds,
    plan: TrainPlan,
    forward: Forward,
    first: Tensors,
    line: GradientLine,
    signal?: AbortSignal,
  ): Promise<SharedStepper> {
    const { model, state } = updateGraph(plan, forward)
    const update = await openSession(sessions, 'update', model)
    const zero = state.map(({ name, dims }): [string, Tensor] => [name, zeros(dims)])
    return new SharedStepper({ plan, forms: formsOf(forward), line, update, signal }, first, Object.fromEntries(zero))
  }

  async step(batches: readonly Batch[], { step, rate, mayRest = false }: StepPlace): Promise<number> {
    const { plan, forms, line, update, signal } = this.#init
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
    const places = sharesOf(batches.length, plan.shares ?? plan.accumulate ?? 1)
    const weighted = batches.map(({ feeds, rows: own }) => ({ feeds, weight: own / rows }))
    const shares = places.map((own) => own.map((place) => weighted[place]!))
    const { losses, parts } = await line.step({ parameters: this.parameters, shares, whole: mayRest }, signal)
    const byPlace = new Float64Array(batches.length)
    for (const [share, own] of places.entries()) {
      for (const [at, place] of own.entries()) byPlace[place] = losses[share]![at]!
    }
    const loss = weighted.reduce((sum, { weight }, place) => sum + weight * byPlace[place]!, 0)
    if (!Number.isFinite(loss)) return loss
    const sums = Object.entries(sumOf(forms, parts)).map(([name, tensor]) => [summed(name), tensor])
    const scalars = [...stepInputs(plan.optimizer, step, rate)].map(([name, value]) => [name, scalarTensor(value)])
    const results = await update.run({
      ...this.parameters,
      ...this.state,
      ...(Object.fromEntries([...sums, ...scalars]) as Tensors),
    })
    const taken = (before: Tensors): Tensors =>
      Object.fromEntries(Object.keys(before).map((name) => [name, results[next(name)]!]))
    this.parameters = taken(this.parameters)
    this.state = taken(this.state)
    return loss
  }

  async close(): Promise<void> {
    await this.#init.line.close()
    await this.#init.update.close()
  }
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
