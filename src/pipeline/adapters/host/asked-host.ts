/** A host of training as its peer sees it: a child process that is asked in messages of tensors, watched and ended. */
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import type { ErrorData, ErrorInfo } from '../../../errors.ts'
import { decodeControl } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import { startHostProcess } from '../../host/host-process.ts'
import type { HostProcess, HostProcessNeeds, HostProgram, RunHostProcess } from '../../host/host-process.ts'
import { SignsOfLife } from './signs-of-life.ts'

/** Types of what a host says; those of questions are odd. */
export const ASKED = {
  /** An answer, with the number of its question. */
  done: 2,
  /** Control: ErrorData. */
  failed: 4,
  /** Of its own accord, each half second between its runs: it is not stuck. */
  alive: 6,
} as const

export interface AskedInit {
  readonly program: HostProgram
  /** Bytes of one message. */
  readonly most: number
  /** What it may forward. */
  readonly errors: readonly ErrorInfo[]
}

export interface Asked {
  readonly type: number
  readonly control: Readonly<Record<string, unknown>>
  readonly tensors: Tensors
  /** As SignsOfLife has it: equal for questions that take it about as long. */
  readonly what: string | false
}

export class AskedHost {
  readonly ended: Promise<StageHostLostError>
  readonly #host: HostProcess
  readonly #signs: SignsOfLife
  readonly #reader: MessageReader
  readonly #known: ReadonlyMap<string, ErrorInfo>
  readonly #waiting = new Map<number, PromiseWithResolvers<Message>>()
  #next = 1

  constructor(needs: HostProcessNeeds, { program, most, errors }: AskedInit, run: RunHostProcess = startHostProcess) {
    this.#host = run(needs, program)
    this.#reader = new MessageReader(most)
    this.#known = new Map(errors.map((info) => [info.code, info]))
    // Its end tells whoever it serves; what follows is as after any other death of a host.
    this.#signs = new SignsOfLife(needs.clock, () => this.#host.kill())
    this.ended = this.#host.ended
    void this.ended.then((error) => {
      this.#signs.stop()
      for (const { reject } of this.#waiting.values()) reject(error)
    })
    this.#host.onFrame((part) => this.#take(part))
  }

  get pid(): number {
    return this.#host.pid
  }

  /** @throws what the host forwards, StageHostLostError */
  async ask({ type, control, tensors, what }: Asked): Promise<Message> {
    const request = this.#next++
    const waiter = Promise.withResolvers<Message>()
    this.#waiting.set(request, waiter)
    this.#signs.asked(what)
    try {
      const frames = [...messageFrames({ type, request, control }, tensors)]
      Promise.all(frames.map((part) => this.#host.send(part))).catch(waiter.reject)
      return await waiter.promise
    } finally {
      this.#signs.answered(what)
      this.#waiting.delete(request)
    }
  }

  /** Nothing of the kind will be asked again. */
  forget(isOver: (what: string) => boolean): void {
    this.#signs.forget(isOver)
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }

  #take(part: Frame): void {
    if (part.type === ASKED.alive) return this.#signs.heard()
    if (part.type === ASKED.failed) return this.#waiting.get(part.request)?.reject(this.#forwarded(part))
    const message = this.#reader.take(part)
    if (message !== null) this.#waiting.get(message.head.request)?.resolve(message)
  }

  #forwarded(answer: Frame): Error {
    const data = decodeControl(answer.control) as ErrorData
    const info = this.#known.get(data.code)
    return info === undefined ? new UnexpectedError(data.message) : new ForwardedError(info, data)
  }
}
