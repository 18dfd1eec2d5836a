/** A training host as its peer sees it: a child process that is asked, watched and ended. */
import { fileURLToPath } from 'node:url'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import type { HostProcessNeeds, RunHostProcess } from '../../host/host-process.ts'
import { TRAIN_LINE_ERRORS } from '../errors.ts'
import { AskedHost } from './asked-host.ts'
import { MAX_TRAIN_BYTES, TRAIN_HOST } from './protocol.ts'
import type { LoadTraining } from './protocol.ts'

/**
 * Larger blocks of memory go back to the system as soon as they are freed: a layer's activations would otherwise stay
 * (a step of a 135M model at length 256 held 100 MB more, measured).
 */
const GIVE_BACK = { MALLOC_MMAP_THRESHOLD_: String(1 << 20) }
const ERRORS = [...ONNX_ERRORS, ...TRAIN_LINE_ERRORS]
const NOTHING: Tensors = new Map()

export class TrainHost {
  readonly #host: AskedHost

  constructor(needs: HostProcessNeeds, run?: RunHostProcess) {
    const program = { name: 'training host', path: hostProgram(), env: GIVE_BACK }
    this.#host = new AskedHost(needs, { program, most: MAX_TRAIN_BYTES, errors: ERRORS }, run)
  }

  get ended(): Promise<StageHostLostError> {
    return this.#host.ended
  }

  get pid(): number {
    return this.#host.pid
  }

  async load(load: LoadTraining): Promise<void> {
    await this.ask('load', { ...load })
  }

  /** @throws what the host forwards, StageHostLostError */
  async ask(
    kind: keyof typeof TRAIN_HOST,
    control: Readonly<Record<string, unknown>>,
    tensors: Tensors = NOTHING,
  ): Promise<Message> {
    // Rows of one session are of one length.
    const of = ` ${Number(control['session'])}`
    const what = kind === 'load' || kind === 'open' ? false : kind + of
    try {
      return await this.#host.ask({ type: TRAIN_HOST[kind], control, tensors, what })
    } finally {
      if (kind === 'close') this.#host.forget((known) => known.endsWith(of))
    }
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}
