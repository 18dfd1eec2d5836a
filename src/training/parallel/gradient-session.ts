/**
 * The gradients of one part of a step's batches, summed up in their order: what a peer computes for another, and what this
 * process computes when it is alone. What comes in is held against the graph, which was made here.
 */
import { discardOutput } from '../../onnx/index.ts'
import type { AnyTensor, Dimension, Tensor, ValueInfo } from '../../onnx/index.ts'
import { GradientRounding } from '../adapters/rounding.ts'
import type { GradientForm } from '../adapters/rounding.ts'
import { GradientBatchError } from '../errors.ts'
import { OUTPUT } from '../graph/names.ts'
import { SHARE, summed } from '../graph/step.ts'
import { openSession, scalarTensor } from '../loop/sessions.ts'
import type { Session, SessionNeeds } from '../loop/sessions.ts'
import type { Tensors } from '../loop/stepper.ts'
import { next } from '../optimizers/index.ts'
import type { GradientGraph, ParameterForm } from './task.ts'

/** Examples of one batch; its bytes are bounded where it comes in. */
const MAX_ROWS = 1 << 24

export class GradientSession {
  readonly #session: Session
  readonly #inputs: readonly ValueInfo[]
  readonly #forms: readonly ParameterForm[]
  readonly #rounding: GradientRounding | undefined
  /** What every sum begins with: a run changes none of its inputs. */
  readonly #nothing: Tensors
  #parameters: Tensors | undefined
  #sums: Tensors

  private constructor(session: Session, { model, parameters }: GradientGraph, form: GradientForm) {
    this.#session = session
    const given = new Set([SHARE, ...parameters.flatMap(({ name }) => [name, summed(name)])])
    this.#inputs = model.graph.inputs.filter(({ name }) => !given.has(name))
    this.#forms = parameters
    this.#rounding = form === 'float32' ? undefined : new GradientRounding()
    this.#nothing = Object.fromEntries(parameters.map(({ name, dims }) => [summed(name), zeros(dims)]))
    this.#sums = this.#nothing
  }

  /** @throws EngineError, DiskFullError, StoreUnwritableError */
  static async open(needs: SessionNeeds, graph: GradientGraph, form: GradientForm): Promise<GradientSession> {
    return new GradientSession(await openSession(needs, 'share', graph.model), graph, form)
  }

  /** A step: the values for which gradients are wanted. @throws GradientBatchError */
  begin(parameters: ReadonlyMap<string, AnyTensor>): void {
    if (parameters.size !== this.#forms.length) {
      throw new GradientBatchError(`${parameters.size} parameters, and the model has ${this.#forms.length}`)
    }
    const taken = this.#forms.map(({ name, dims }): [string, Tensor] => {
      const tensor = parameters.get(name)
      if (tensor?.type !== 'float32' || tensor.dims.join() !== dims.join()) {
        throw new GradientBatchError(`the parameter ${name} is not float32 [${dims.join(', ')}]`)
      }
      return [name, tensor]
    })
    this.#parameters = Object.fromEntries(taken)
    this.#startAnew()
  }

  /**
   * One batch of the part.
   * @param weight its part of the step's examples
   * @returns its mean loss
   * @throws GradientBatchError, EngineError
   */
  async add(feeds: ReadonlyMap<string, AnyTensor>, weight: number): Promise<number> {
    if (this.#parameters === undefined) throw new GradientBatchError('no step has begun')
    if (!(weight > 0 && weight <= 1)) throw new GradientBatchError(`its part of the step is ${weight}`)
    const inputs = this.#checked(feeds)
    const results = await this.#session.run({
      ...this.#parameters,
      ...this.#sums,
      ...inputs,
      [SHARE]: scalarTensor(weight),
    })
    this.#startAnew()
    this.#sums = Object.fromEntries(this.#forms.map(({ name }) => [summed(name), results[next(summed(name))]!]))
    return Number(results[OUTPUT.loss]!.data[0])
  }

  /** The sum since the last one was told; of no batches zeros. @param whole nothing of it is rounded: a checkpoint may follow */
  tell(whole: boolean): Tensors {
    const own = Object.fromEntries(this.#forms.map(({ name }) => [name, this.#sums[summed(name)]!]))
    if (this.#rounding === undefined) {
      // They leave as they are, and are nobody's here any more.
      this.#sums = this.#nothing
      return own
    }
    const told = this.#rounding.rounded(own, whole)
    this.#startAnew()
    return told
  }

  async close(): Promise<void> {
    this.#startAnew()
    await this.#session.close()
  }

  #startAnew(): void {
    if (this.#sums !== this.#nothing) for (const tensor of Object.values(this.#sums)) discardOutput(tensor)
    this.#sums = this.#nothing
  }

  #checked(feeds: ReadonlyMap<string, AnyTensor>): Tensors {
    const sizes = new Map<string, number>()
    const taken = this.#inputs.map(({ name, type }): [string, Tensor] => {
      const tensor = feeds.get(name)
      if (tensor === undefined) throw new GradientBatchError(`${name} is missing`)
      const shape = type?.kind === 'tensor' ? (type.shape ?? []) : []
      const wanted = type?.kind === 'tensor' ? type.type : ''
      if (tensor.type === 'string' || tensor.type !== wanted || !isOf(shape, tensor.dims, sizes)) {
        const given = `${tensor.type} [${tensor.dims.join(', ')}]`
        throw new GradientBatchError(`${name} is ${given}, and the graph takes ${wanted} [${shape.join(', ')}]`)
      }
      return [name, tensor]
    })
    if (feeds.size !== taken.length) throw new GradientBatchError('it has tensors that the graph does not take')
    return Object.fromEntries(taken)
  }
}

/** @param sizes of named dimensions so far: one name is one size in all tensors of a batch */
function isOf(shape: readonly Dimension[], dims: readonly number[], sizes: Map<string, number>): boolean {
  if (shape.length !== dims.length) return false
  return shape.every((wanted, axis) => {
    const size = dims[axis]!
    if (typeof wanted === 'number') return size === wanted
    if (size < 1 || size > MAX_ROWS) return false
    const known = sizes.get(String(wanted)) ?? size
    sizes.set(String(wanted), known)
    return known === size
  })
}

function zeros(dims: readonly number[]): Tensor {
  return { type: 'float32', dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) }
}
