/** What computes the steps of an adapter: the blocks of a model one behind the other, wherever they are. */
import type { Tensor } from '../../onnx/index.ts'
import type { Tensors } from '../loop/stepper.ts'
import type { BlockSession } from './blocks.ts'
import { GradientRounding, unrounded } from './rounding.ts'
import type { GradientForm } from './rounding.ts'

/** Texts of equal length, one behind the other. */
export interface MicroBatch {
  /** [rows, width], what goes into the first layer. */
  readonly rows: Tensor
  /** What follows each row; -1 where nothing is asked. */
  readonly targets: Int32Array
}

export interface LineStep {
  readonly batches: readonly MicroBatch[]
  /** Of each row that counts: one over how many there are. */
  readonly weight: number
  readonly parameters: Tensors
  /** A checkpoint may follow: gradients that are rounded come whole this time, with all that was left. @default false */
  readonly whole?: boolean
}

export interface LineResult {
  readonly loss: number
  /** Of the parameters, added up over the batches in their order. */
  readonly gradients: Tensors
  /** Of the rows of each batch, where asked for. */
  readonly inputs: readonly Tensor[]
}

export interface AdapterLine {
  step(step: LineStep, signal?: AbortSignal): Promise<LineResult>
  /** The loss alone. */
  loss(step: LineStep, signal?: AbortSignal): Promise<number>
  close(): Promise<void>
}

/** All blocks in this process. @param form as peers would send the gradients: the bits are theirs then */
export function localLine(
  session: BlockSession,
  end: () => Promise<void>,
  form: GradientForm = 'float32',
): AdapterLine {
  const rounding = new GradientRounding()
  const told = (gradients: Tensors, whole: boolean): Tensors => {
    if (form === 'float32') return gradients
    const all = new Map(Object.entries(rounding.rounded(gradients, whole)))
    return Object.fromEntries(Object.entries(gradients).map(([name, { dims }]) => [name, unrounded(all, name, dims)!]))
  }
  return {
    async step({ batches, weight, parameters, whole = false }, signal) {
      session.begin(parameters)
      const inputs: Tensor[] = []
      let sum = 0
      for (const [micro, { rows, targets }] of batches.entries()) {
        signal?.throwIfAborted()
        const last = await session.forward(micro, rows, true)
        const { loss, gradient } = await session.loss({ rows: last.data as Float32Array, targets, weight }, true)
        sum += loss
        inputs.push(await session.backward(micro, gradient!))
      }
      return { loss: sum, gradients: told(session.gradients(), whole), inputs }
    },
    async loss({ batches, weight, parameters }, signal) {
      session.begin(parameters)
      let sum = 0
      for (const [micro, { rows, targets }] of batches.entries()) {
        signal?.throwIfAborted()
        const last = await session.forward(micro, rows, false)
        sum += (await session.loss({ rows: last.data as Float32Array, targets, weight }, false)).loss
      }
      return sum
    },
    close: end,
  }
}
