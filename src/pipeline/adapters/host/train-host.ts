/** A training host as its peer sees it: a child process that is asked, watched and ended. */
import { fileURLToPath } from 'node:url'
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import type { ErrorData } from '../../../errors.ts'
import { decodeControl } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import { startHostProcess } from '../../host/host-process.ts'
import type { HostProcess, HostProcessNeeds, RunHostProcess } from '../../host/host-process.ts'
import { messageFrames, MessageReader } from '../../graph/messages.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import { TRAIN_LINE_ERRORS } from '../errors.ts'
import { MAX_TRAIN_BYTES, TRAIN_HOST } from './protocol.ts'
import type { LoadTraining } from './protocol.ts'
import { SignsOfLife } from './signs-of-life.ts'

/**
 * Larger blocks of memory go back to the system as soon as they are freed: a layer's activations would otherwise stay
 * (a step of a 135M model at length 256 held 100 MB more, measured).
 */
const GIVE_BACK = { MALLOC_MMAP_THRESHOLD_: String(1 << 20) }
const KNOWN = new Map([...ONNX_ERRORS, ...TRAIN_LINE_ERRORS].map((info) => [info.code, info]))
const NOTHING: Tensors = new Map()

type Kind = Exclude<keyof typeof TRAIN_HOST, 'done' | 'failed' | 'alive'>

export class TrainHost {
  readonly ended: Promise<StageHostLostError>
  readonly #host: HostProcess
  readonly #signs: SignsOfLife
  readonly #reader = new MessageReader(MAX_TRAIN_BYTES)
  readonly #waiting = new Map<number, PromiseWithResolvers<Message>>()
  #next = 1

  constructor(needs: HostProcessNeeds, run: RunHostProcess = startHostProcess) {
    this.#host = run(needs, { name: 'training host', path: hostProgram(), env: GIVE_BACK })
    // Its end tells the sessions; what follows is as after any other death of a host.
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

  async load(load: LoadTraining): Promise<void> {
    await this.ask('load', { ...load })
  }

  /** @throws what the host forwards, StageHostLostError */
  async ask(kind: Kind, control: Readonly<Record<string, unknown>>, tensors: Tensors = NOTHING): Promise<Message> {
    const request = this.#next++
    const waiter = Promise.withResolvers<Message>()
    this.#waiting.set(request, waiter)
    // Rows of one session are of one length.
    const of = ` ${Number(control['session'])}`
    const what = kind === 'load' || kind === 'open' ? false : kind + of
    this.#signs.asked(what)
    try {
      const frames = [...messageFrames({ type: TRAIN_HOST[kind], request, control }, tensors)]
      Promise.all(frames.map((part) => this.#host.send(part))).catch(waiter.reject)
      return await waiter.promise
    } finally {
      this.#signs.answered(what)
      if (kind === 'close') this.#signs.forget((known) => known.endsWith(of))
      this.#waiting.delete(request)
    }
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }

  #take(part: Frame): void {
    if (part.type === TRAIN_HOST.alive) return this.#signs.heard()
    if (part.type === TRAIN_HOST.failed) return this.#waiting.get(part.request)?.reject(forwarded(part))
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
