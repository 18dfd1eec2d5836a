/** The work of a gradient host without its socket: it makes the graph of one run, and computes one thing after the other. */
import { createOrtEngine } from '../../../onnx/index.ts'
import { GradientSession, gradientGraphOf, readGradientTask } from '../../../training/index.ts'
import { TrainingRefusedError } from '../../adapters/errors.ts'
import type { Answer } from '../../adapters/host/asked-program.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import { LOSS, TASK } from '../protocol.ts'
import { GRADIENT_HOST } from './protocol.ts'
import type { LoadGradients } from './protocol.ts'

const NOTHING: Tensors = new Map()

export class GradientRuntime {
  #session: GradientSession | undefined
  #last: Promise<unknown> = Promise.resolve()

  /** In the order in which it is asked. @throws GradientTaskError, GradientBatchError, EngineError, TrainedModelError */
  ask(message: Message): Promise<Answer> {
    const answer = this.#last.then(() => this.#answer(message))
    this.#last = answer.catch(() => undefined)
    return answer
  }

  async #answer({ head: { type }, control, tensors }: Message): Promise<Answer> {
    if (type === GRADIENT_HOST.load) return this.#load(control as unknown as LoadGradients, tensors)
    const session = this.#session
    if (session === undefined) throw new TrainingRefusedError('the graph is not made')
    if (type === GRADIENT_HOST.begin) {
      session.begin(tensors)
      return { control: {}, tensors: NOTHING }
    }
    if (type === GRADIENT_HOST.batch) {
      const loss = await session.add(tensors, Number(control['weight']))
      return { control: {}, tensors: new Map([[LOSS, { type: 'float32', dims: [], data: Float32Array.of(loss) }]]) }
    }
    return { control: {}, tensors: new Map(Object.entries(session.tell(control['whole'] === true))) }
  }

  async #load({ folder, threads, parameters, gradients }: LoadGradients, tensors: Tensors): Promise<Answer> {
    const task = tensors.get(TASK)
    if (task?.type !== 'uint8') throw new TrainingRefusedError('the task is missing')
    const engine = createOrtEngine()
    const graph = gradientGraphOf(readGradientTask(task.data as Uint8Array), parameters)
    const options = { threads, optimization: 'basic' as const }
    this.#session = await GradientSession.open({ engine, folder, options }, graph, gradients ?? 'float32')
    return { control: { kernel: engine.kernelId }, tensors: NOTHING }
  }
}
