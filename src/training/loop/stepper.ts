/** Parameters and state of a run, and the steps that change them. */
import type { Checkpointing } from '../autodiff/types.ts'
import { discardOutput, heldElements } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { OUTPUT } from '../graph/names.ts'
import type { Forward } from '../graph/forward.ts'
import { dimsOf, gradientGraph, SHARE, stepGraph, summed, updateGraph } from '../graph/step.ts'
import { next, stepInputs } from '../optimizers/index.ts'
import type { StateTensor } from '../optimizers/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { openSession, scalarTensor } from './sessions.ts'
import type { Session, SessionNeeds } from './sessions.ts'

export type Tensors = Readonly<Record<string, Tensor>>

/** What a step is made for. */
export interface StepPlace {
  /** Of the run, from 0. */
  readonly step: number
  readonly rate: number
  /** A checkpoint may follow: what is kept beside parameters and state has to be in them then. @default false */
  readonly mayRest?: boolean
}

export interface Batch {
  readonly feeds: Tensors
  readonly rows: number
}

export interface Stepper {
  /** The values now; replaced by each step, never changed: whoever reads them may keep them. */
  parameters: Tensors
  state: Tensors
  /** Tensors of values before these that were freed at once, and not left to the collector of garbage. */
  readonly freed: number
  /** One step over these batches. Returns their mean loss; the values stay as they were when it is not finite. */
  step(batches: readonly Batch[], place: StepPlace): Promise<number>
  close(): Promise<void>
}

/** @param activations what those may take that the backward pass needs; all of them without it */
export async function createStepper(
  needs: SessionNeeds,
  plan: TrainPlan,
  forward: Forward,
  activations?: Checkpointing,
): Promise<Stepper> {
  const isSummed = (plan.accumulate ?? 1) > 1
  const { model, state } = isSummed ? updateGraph(plan, forward) : stepGraph(plan, forward, activations)
  const session = await openSession(needs, 'step', model)
  const gradients = isSummed
    ? await openSession(needs, 'gradient', gradientGraph(plan, forward, activations))
    : undefined
  const init = { plan, forward, state, session, gradients }
  return new GraphStepper(init)
}

interface StepperInit {
  readonly plan: TrainPlan
  readonly forward: Forward
  readonly state: readonly StateTensor[]
  readonly session: Session
  readonly gradients: Session | undefined
}

/** Values that only the stepper knows go as soon as a step has made others. */
class Held {
  #values: Tensors
  /** A run gave them, and nobody has been shown them. */
  #isOwn = false

  constructor(values: Tensors) {
    this.#values = values
  }

  /** For a run. */
  get own(): Tensors {
    return this.#values
  }

  shown(): Tensors {
    this.#isOwn = false
    return this.#values
  }

  set(values: Tensors): void {
    this.#values = values
    this.#isOwn = false
  }

  /** @returns how many tensors were freed */
  replace(results: Tensors): number {
    const names = Object.keys(this.#values)
    const freed = this.discard()
    this.#values = Object.fromEntries(names.map((name) => [name, results[next(name)]!]))
    this.#isOwn = true
    return freed
  }

  /** @returns how many tensors were freed */
  discard(): number {
    if (!this.#isOwn) return 0
    const tensors = Object.values(this.#values)
    for (const tensor of tensors) discardOutput(tensor)
    return tensors.length
  }
}

class GraphStepper implements Stepper {
  /** Tensors that were freed before the collector of garbage came to them. */
  freed = 0
  readonly #init: StepperInit
  readonly #parameters: Held
  readonly #state: Held

  constructor(init: StepperInit) {
    this.#init = init
    const { forward, state } = init
    this.#parameters = new Held(firstValues(forward))
    this.#state = new Held(Object.fromEntries(state.map(({ name, dims }) => [name, zeros(dims)])))
  }

  get parameters(): Tensors {
    return this.#parameters.shown()
  }

  set parameters(values: Tensors) {
    this.#parameters.set(values)
  }

  get state(): Tensors {
    return this.#state.shown()
  }

  set state(values: Tensors) {
    this.#state.set(values)
  }

  async step(batches: readonly Batch[], { step, rate }: StepPlace): Promise<number> {
    const { plan, session, gradients } = this.#init
    const scalars = [...stepInputs(plan.optimizer, step, rate)].map(([name, value]) => [name, scalarTensor(value)])
    const common = { ...this.#parameters.own, ...this.#state.own, ...(Object.fromEntries(scalars) as Tensors) }
    if (gradients === undefined) {
      const results = await session.run({ ...common, ...batches[0]!.feeds })
      const loss = lossIn(results)
      if (Number.isFinite(loss)) this.#take(results)
      return loss
    }
    const { loss, sums } = await this.#sumGradients(gradients, batches)
    if (Number.isFinite(loss)) this.#take(await session.run({ ...common, ...sums.own }))
    this.freed += sums.discard()
    return loss
  }

  async close(): Promise<void> {
    await this.#init.session.close()
    await this.#init.gradients?.close()
  }

  async #sumGradients(
    session: Session,
    batches: readonly Batch[],
  ): Promise<{ readonly loss: number; readonly sums: Held }> {
    const { parameters } = this.#init.forward
    const values = this.#parameters.own
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
    const sums = new Held(Object.fromEntries(parameters.map((name) => [summed(name), zeros(values[name]!.dims)])))
    let loss = 0
    for (const batch of batches) {
      const share = batch.rows / rows
      const results = await session.run({ ...values, ...sums.own, ...batch.feeds, [SHARE]: scalarTensor(share) })
      loss += share * lossIn(results)
      this.freed += sums.replace(results)
    }
    return { loss, sums }
  }

  #take(results: Tensors): void {
    this.freed += this.#parameters.replace(results) + this.#state.replace(results)
  }
}

function lossIn(results: Tensors): number {
  return Number(results[OUTPUT.loss]!.data[0])
}

/** With which a run begins. */
export function firstValues(forward: Forward): Tensors {
  return Object.fromEntries(forward.parameters.map((name) => [name, firstValue(forward, name)]))
}

function firstValue({ model }: Forward, name: string): Tensor {
  const data = heldElements(model.graph.initializers.get(name)!) as Float32Array
  return { type: 'float32', dims: dimsOf(model, name), data }
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
