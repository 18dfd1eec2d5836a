/**
 * The work of a training host without its socket: frozen blocks that all sessions share, a session for each adapter, and the order of the work.
 * What goes back goes before what goes forward: so few micro-batches are under way, and their rows are soon freed.
 */
import { TrainingRefusedError } from '../errors.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import type { Tensor } from '../../../onnx/index.ts'
import { GradientRounding } from '../../../training/index.ts'
import type { BlockSession, FrozenBlocks } from '../../../training/index.ts'
import type { Answer } from './asked-program.ts'
import { TENSOR, TRAIN_HOST } from './protocol.ts'
import type { OpenTraining } from './protocol.ts'

interface Job {
  readonly session: number
  readonly urgency: number
  readonly run: () => Promise<Answer>
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

const NOTHING: Tensors = new Map()
const DONE: Answer = { control: {}, tensors: NOTHING }
/** The lower, the sooner. */
const URGENCY: Readonly<Record<number, number>> = {
  [TRAIN_HOST.open]: 0,
  [TRAIN_HOST.begin]: 0,
  [TRAIN_HOST.gradients]: 0,
  [TRAIN_HOST.close]: 0,
  [TRAIN_HOST.backward]: 1,
  [TRAIN_HOST.loss]: 1,
  [TRAIN_HOST.forward]: 2,
}

interface OpenSession {
  readonly blocks: BlockSession
  /** Of its gradients, where they are rounded. */
  readonly rounding: GradientRounding | undefined
}

export class TrainRuntime {
  readonly #blocks: FrozenBlocks
  readonly #sessions = new Map<number, OpenSession>()
  #waiting: Job[] = []
  #running = false

  constructor(blocks: FrozenBlocks) {
    this.#blocks = blocks
  }

  /** @throws TrainingRefusedError, EngineError, and what loading throws */
  ask({ head, control, tensors }: Message): Promise<Answer> {
    const { type } = head
    const session = Number(control['session'])
    // Rows of a step that is over are of no use to anybody.
    if (type === TRAIN_HOST.begin || type === TRAIN_HOST.close) this.#drop(session)
    return new Promise((resolve, reject) => {
      const run = (): Promise<Answer> => this.#answer(type, session, control, tensors)
      this.#waiting.push({ session, urgency: URGENCY[type] ?? 2, run, resolve, reject })
      if (!this.#running) void this.#loop()
    })
  }

  #drop(session: number): void {
    const dropped = this.#waiting.filter((job) => job.session === session)
    this.#waiting = this.#waiting.filter((job) => job.session !== session)
    for (const job of dropped) job.reject(new TrainingRefusedError('another step has begun'))
  }

  async #loop(): Promise<void> {
    this.#running = true
    for (;;) {
      const most = Math.min(...this.#waiting.map(({ urgency }) => urgency))
      const index = this.#waiting.findIndex(({ urgency }) => urgency === most)
      if (index < 0) break
      const [job] = this.#waiting.splice(index, 1)
      await job!.run().then(job!.resolve, job!.reject)
    }
    this.#running = false
  }

  async #answer(
    type: number,
    number: number,
    control: Readonly<Record<string, unknown>>,
    tensors: Tensors,
  ): Promise<Answer> {
    if (type === TRAIN_HOST.close) {
      this.#sessions.delete(number)
      return DONE
    }
    if (type === TRAIN_HOST.open) {
      const { from, to, length, form, gradients } = control as unknown as OpenTraining
      const rounding = gradients === 'int8' ? new GradientRounding() : undefined
      this.#sessions.set(number, { blocks: await this.#blocks.open(from, to, length, form), rounding })
      return DONE
    }
    const open = this.#sessions.get(number)
    if (open === undefined) throw new TrainingRefusedError('the session is not open')
    const { blocks: session, rounding } = open
    const micro = Number(control['micro'])
    if (type === TRAIN_HOST.begin) {
      session.begin(Object.fromEntries(tensors) as Record<string, Tensor>)
      return DONE
    }
    if (type === TRAIN_HOST.gradients) {
      const own = session.gradients()
      const told = rounding === undefined ? own : rounding.rounded(own, control['whole'] === true)
      return { control: {}, tensors: new Map(Object.entries(told)) }
    }
    if (type === TRAIN_HOST.forward) {
      const rows = await session.forward(micro, taken(tensors, TENSOR.rows), control['keep'] === true)
      return { control: {}, tensors: new Map([[TENSOR.rows, rows]]) }
    }
    if (type === TRAIN_HOST.backward) {
      const gradient = await session.backward(micro, taken(tensors, TENSOR.gradient))
      return { control: {}, tensors: new Map([[TENSOR.gradient, gradient]]) }
    }
    const rows = taken(tensors, TENSOR.rows).data as Float32Array
    const targets = taken(tensors, TENSOR.targets).data as Int32Array
    const { loss, gradient } = await session.loss(
      { rows, targets, weight: Number(control['weight']) },
      control['wanted'] === true,
    )
    return { control: { loss }, tensors: gradient === undefined ? NOTHING : new Map([[TENSOR.gradient, gradient]]) }
  }
}

function taken(tensors: Tensors, name: string): Tensor {
  const tensor = tensors.get(name)
  if (tensor === undefined || tensor.type === 'string') throw new TrainingRefusedError(`the tensor ${name} is missing`)
  return tensor
}
