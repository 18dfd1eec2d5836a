/** A gradient host as its peer sees it: a child process for one session, that is asked, watched and ended with it. */
import { fileURLToPath } from 'node:url'
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import type { ErrorData } from '../../../errors.ts'
import { decodeControl } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import { AUTODIFF_ERRORS, LOOP_ERRORS } from '../../../training/index.ts'
import { TRAIN_LINE_ERRORS } from '../../adapters/errors.ts'
import { SignsOfLife } from '../../adapters/host/signs-of-life.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import { startHostProcess } from '../../host/host-process.ts'
import type { HostProcess, HostProcessNeeds, RunHostProcess } from '../../host/host-process.ts'
import { GRADIENT_HOST, MAX_GRADIENT_BYTES } from './protocol.ts'

const KNOWN = new Map(
  [...ONNX_ERRORS, ...TRAIN_LINE_ERRORS, ...LOOP_ERRORS, ...AUTODIFF_ERRORS].map((info) => [info.code, info]),
)
const NOTHING: Tensors = new Map()

type Kind = Exclude<keyof typeof GRADIENT_HOST, 'done' | 'failed' | 'alive'>

export class GradientHost {
  readonly ended: Promise<StageHostLostError>
  readonly #host: HostProcess
  readonly #signs: SignsOfLife
  readonly #reader = new MessageReader(MAX_GRADIENT_BYTES)
  readonly #waiting = new Map<number, PromiseWithResolvers<Message>>()
  #next = 1

  /** @param memory bytes that it may hold */
  constructor(needs: HostProcessNeeds, memory: number, run: RunHostProcess = startHostProcess) {
    const args = [String(memory)]
    this.#host = run(needs, { name: 'gradient host', path: hostProgram(), args, lifeline: true })
    // Its end tells the session; the origin gives its share to another.
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
  async ask(kind: Kind, control: Readonly<Record<string, unknown>>, tensors: Tensors = NOTHING): Promise<Message> {
    const request = this.#next++
    const waiter = Promise.withResolvers<Message>()
    this.#waiting.set(request, waiter)
    const what = kind === 'load' ? false : kind
    this.#signs.asked(what)
    try {
      const frames = [...messageFrames({ type: GRADIENT_HOST[kind], request, control }, tensors)]
      Promise.all(frames.map((part) => this.#host.send(part))).catch(waiter.reject)
      return await waiter.promise
    } finally {
      this.#signs.answered(what)
      this.#waiting.delete(request)
    }
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }

  #take(part: Frame): void {
    if (part.type === GRADIENT_HOST.alive) return this.#signs.heard()
    if (part.type === GRADIENT_HOST.failed) return this.#waiting.get(part.request)?.reject(forwarded(part))
    const message = this.#reader.take(part)
    if (message !== null) this.#waiting.get(message.head.request)?.resolve(message)
  }
}

function forwarded(answer: Frame): Error {
  const data = decodeControl(answer.control) as ErrorData
  const info = KNOWN.get(data.code)
  return info === undefined ? new UnexpectedError(data.message) : new ForwardedError(info, data)
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}
