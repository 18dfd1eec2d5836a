/** The values of an adapter and of its optimizer, and the steps that change them; a line of blocks computes the gradients. */
import type { Embedding } from '../../models/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { FIELD } from '../data/index.ts'
import { emptyModel, GraphMaker } from '../graph/graph-maker.ts'
import type { Forward } from '../graph/forward.ts'
import { OUTPUT } from '../graph/names.ts'
import { summed, updateGraph } from '../graph/step.ts'
import { openSession, scalarTensor } from '../loop/sessions.ts'
import type { Session, SessionNeeds } from '../loop/sessions.ts'
import type { Batch, StepPlace, Stepper, Tensors } from '../loop/stepper.ts'
import { next, stepInputs } from '../optimizers/index.ts'
import type { TrainPlan } from '../plan/schema.ts'
import { PROMPT } from './form.ts'
import type { AdapterLine, LineStep, MicroBatch } from './line.ts'

/** The parameters as a graph's, for what makes the update and names the run. */
export function adapterForward(parameters: Tensors): Forward {
  const maker = new GraphMaker(emptyModel('adapter'))
  for (const [name, { dims, data }] of Object.entries(parameters)) maker.parameter(name, dims, data as Float32Array)
  return { model: maker.model(), parameters: Object.keys(parameters), inputs: FIELD.input, outputs: 0 }
}

export interface AdapterStepperInit {
  readonly sessions: SessionNeeds
  readonly plan: TrainPlan
  readonly parameters: Tensors
  readonly line: AdapterLine
  /** Rows of tokens in float32. */
  readonly embedding: Embedding
  readonly width: number
  readonly signal?: AbortSignal | undefined
}

export class AdapterStepper implements Stepper {
  parameters: Tensors
  state: Tensors
  /** An adapter is small: what it was is left to the collector. */
  readonly freed = 0
  readonly #init: AdapterStepperInit
  readonly #update: Session

  private constructor(init: AdapterStepperInit, update: Session, state: Tensors) {
    this.#init = init
    this.#update = update
    this.parameters = init.parameters
    this.state = state
  }

  static async open(init: AdapterStepperInit): Promise<AdapterStepper> {
    const { model, state } = updateGraph(init.plan, adapterForward(init.parameters))
    const update = await openSession(init.sessions, 'update', model)
    return new AdapterStepper(init, update, Object.fromEntries(state.map(({ name, dims }) => [name, zeros(dims)])))
  }

  /** Mean loss of the batches, and its gradient by parameter; the values stay as they are. */
  async gradients(
    batches: readonly Batch[],
    whole = false,
  ): Promise<{ readonly loss: number; readonly gradients: Tensors }> {
    const asked = { ...this.#lineStep(batches.map(({ feeds }) => feeds)), whole }
    const { loss, gradients, inputs } = await this.#init.line.step(asked, this.#init.signal)
    return { loss, gradients: { ...gradients, ...this.#promptGradient(asked.batches, inputs) } }
  }

  async step(batches: readonly Batch[], { step, rate, mayRest = false }: StepPlace): Promise<number> {
    const { plan } = this.#init
    const { loss, gradients } = await this.gradients(batches, mayRest)
    if (!Number.isFinite(loss)) return loss
    const sums = Object.fromEntries(Object.entries(gradients).map(([name, tensor]) => [summed(name), tensor]))
    const scalars = [...stepInputs(plan.optimizer, step, rate)].map(([name, value]) => [name, scalarTensor(value)])
    const results = await this.#update.run({
      ...this.parameters,
      ...this.state,
      ...sums,
      ...(Object.fromEntries(scalars) as Tensors),
    })
    this.parameters = taken(this.parameters, results)
    this.state = taken(this.state, results)
    return loss
  }

  /** As the evaluation of any model: the loss alone is said. */
  get evaluation(): Session {
    return {
      run: async (feeds) => {
        const loss = await this.#init.line.loss(this.#lineStep(this.#pieces(feeds), feeds), this.#init.signal)
        return { [OUTPUT.loss]: scalarTensor(loss) }
      },
      close: () => Promise.resolve(),
    }
  }

  async close(): Promise<void> {
    await this.#update.close()
  }

  /** No more texts at once than a step has. */
  #pieces(feeds: Tensors): Tensors[] {
    const [tokens, following] = [feeds[FIELD.input]!, feeds[FIELD.target]!]
    const [texts, length] = tokens.dims as [number, number]
    const { batch } = this.#init.plan
    const size = batch === 'full' ? texts : batch
    const part = ({ type, data }: Tensor, from: number, to: number): Tensor => {
      const own = (data as BigInt64Array).subarray(from * length, to * length)
      return { type, dims: [to - from, length], data: own }
    }
    return Array.from({ length: Math.ceil(texts / size) }, (_, index) => {
      const [from, to] = [index * size, Math.min(texts, (index + 1) * size)]
      return { [FIELD.input]: part(tokens, from, to), [FIELD.target]: part(following, from, to) }
    })
  }

  /** @param values where they are not the stepper's own */
  #lineStep(feeds: readonly Tensors[], values: Tensors = this.parameters): LineStep {
    const names = Object.keys(this.parameters)
    const prompt = values[PROMPT]
    const batches = feeds.map((one) => this.#microBatch(one[FIELD.input]!, one[FIELD.target]!, prompt))
    const counted = batches.reduce((sum, { targets }) => sum + targets.filter((target) => target >= 0).length, 0)
    const parameters = Object.fromEntries(names.filter((name) => name !== PROMPT).map((name) => [name, values[name]!]))
    return { batches, weight: 1 / Math.max(1, counted), parameters }
  }

  #microBatch(tokens: Tensor, following: Tensor, prompt: Tensor | undefined): MicroBatch {
    const { embedding, width } = this.#init
    const [texts, length] = tokens.dims as [number, number]
    const before = prompt?.dims[0] ?? 0
    const rows = new Float32Array(texts * (before + length) * width)
    const targets = new Int32Array(texts * (before + length)).fill(-1)
    for (let text = 0; text < texts; text++) {
      const ids = Int32Array.from((tokens.data as BigInt64Array).subarray(text * length, (text + 1) * length), Number)
      const first = text * (before + length)
      if (prompt !== undefined) rows.set(prompt.data as Float32Array, first * width)
      const bytes = embedding.rows(ids)
      rows.set(new Float32Array(bytes.buffer, bytes.byteOffset, ids.length * width), (first + before) * width)
      for (let at = 0; at < length; at++) {
        targets[first + before + at] = Number((following.data as BigInt64Array)[text * length + at])
      }
    }
    return { rows: { type: 'float32', dims: [texts * (before + length), width], data: rows }, targets }
  }

  /** Of soft prompts: what comes back to their rows, over all texts. */
  #promptGradient(batches: readonly MicroBatch[], inputs: readonly Tensor[]): Tensors {
    const prompt = this.parameters[PROMPT]
    if (prompt === undefined) return {}
    const size = prompt.data.length
    const sum = new Float32Array(size)
    const length = this.#textRows(prompt.dims[0]!)
    for (const [index, { rows }] of batches.entries()) {
      const gradient = inputs[index]!.data as Float32Array
      for (let from = 0; from < rows.data.length; from += length * this.#init.width) {
        for (let at = 0; at < size; at++) sum[at] = sum[at]! + gradient[from + at]!
      }
    }
    return { [PROMPT]: { ...prompt, data: sum } }
  }

  #textRows(before: number): number {
    const { data } = this.#init.plan
    return before + (data.kind === 'text' ? data.length : 0)
  }
}

function taken(before: Tensors, results: Tensors): Tensors {
  return Object.fromEntries(Object.keys(before).map((name) => [name, results[next(name)]!]))
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
