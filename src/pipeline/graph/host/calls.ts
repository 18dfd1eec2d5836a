/** Questions to a graph host and its answers. */
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import type { ErrorData } from '../../../errors.ts'
import { decodeControl, encodeControl, frame } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import type { Clock } from '../../../util/index.ts'
import { StageHostError } from '../../host/host-errors.ts'
import type { HostProcess } from '../../host/host-process.ts'
import { GRAPH_ERRORS } from '../errors.ts'
import { messageFrames, MessageReader } from '../messages.ts'
import type { Message } from '../messages.ts'
import type { Tensors } from '../tensors.ts'
import { GRAPH, MAX_RUN_BYTES } from './protocol.ts'
import type { RunGraph, RunMemory } from './protocol.ts'

type Answer = Message | Frame

export class Calls {
  readonly #clock: Clock
  readonly #host: HostProcess
  readonly #reader = new MessageReader(MAX_RUN_BYTES)
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>()
  #next = 1

  constructor(clock: Clock, host: HostProcess) {
    this.#clock = clock
    this.#host = host
    void host.ended.then((error) => {
      for (const { reject } of this.#waiting.values()) reject(error)
    })
    host.onFrame((part) => {
      const answer = part.type === GRAPH.result ? this.#reader.take(part) : part
      if (answer !== null) this.#waiting.get(part.request)?.resolve(answer)
    })
  }

  /** @throws StageHostError when there is no answer in time, what the host forwards, StageHostLostError */
  async ask(type: number, deadline: number, control: unknown): Promise<unknown> {
    const late = Promise.withResolvers<never>()
    const cancel = this.#clock.after(deadline, () =>
      late.reject(new StageHostError('the graph host does not answer', { seconds: deadline / 1000 })),
    )
    try {
      const question = (request: number): Frame => frame({ type, request, control: encodeControl(control) })
      const answer = (await Promise.race([this.#call((request) => [question(request)]), late.promise])) as Frame
      if (answer.type === GRAPH.refused) throw forwarded(answer)
      return decodeControl(answer.control)
    } finally {
      cancel()
    }
  }

  /** @returns the answer, and the bytes of inputs that went over the socket. @throws what the host forwards, StageHostLostError */
  async run(
    { session, fetch, kept, decode }: RunGraph,
    { shared, free }: RunMemory,
    feeds: Tensors,
  ): Promise<{ readonly answer: Message; readonly sent: number }> {
    const control = { session, fetch, kept, ...(decode === undefined ? {} : { decode }), shared, free }
    let sent = 0
    const answer = await this.#call((request) => {
      const frames = [...messageFrames({ type: GRAPH.run, request, control }, feeds)]
      sent = frames.reduce((sum, { payload }) => sum + payload.length, 0)
      return frames
    })
    if (!('tensors' in answer)) throw forwarded(answer)
    return { answer, sent }
  }

  async #call(frames: (request: number) => readonly Frame[]): Promise<Answer> {
    const request = this.#next++
    const waiter = Promise.withResolvers<Answer>()
    this.#waiting.set(request, waiter)
    try {
      Promise.all(frames(request).map((part) => this.#host.send(part))).catch(waiter.reject)
      return await waiter.promise
    } finally {
      this.#waiting.delete(request)
    }
  }
}

const KNOWN = new Map([...ONNX_ERRORS, ...GRAPH_ERRORS].map((info) => [info.code, info]))

function forwarded(answer: Frame): Error {
  const data = decodeControl(answer.control) as ErrorData
  const info = KNOWN.get(data.code)
  return info === undefined ? new UnexpectedError(data.message) : new ForwardedError(info, data)
}
