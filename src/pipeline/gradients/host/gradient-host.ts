/** A gradient host as its peer sees it: a child process for one session, that is asked, watched and ended with it. */
import { fileURLToPath } from 'node:url'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import { AUTODIFF_ERRORS, LOOP_ERRORS } from '../../../training/index.ts'
import { TRAIN_LINE_ERRORS } from '../../adapters/errors.ts'
import { AskedHost } from '../../adapters/host/asked-host.ts'
import type { Message } from '../../graph/messages.ts'
import type { Tensors } from '../../graph/tensors.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import type { HostProcessNeeds, RunHostProcess } from '../../host/host-process.ts'
import { GRADIENT_HOST, MAX_GRADIENT_BYTES } from './protocol.ts'

const ERRORS = [...ONNX_ERRORS, ...TRAIN_LINE_ERRORS, ...LOOP_ERRORS, ...AUTODIFF_ERRORS]
const NOTHING: Tensors = new Map()

export class GradientHost {
  readonly #host: AskedHost

  /** @param memory bytes that it may hold */
  constructor(needs: HostProcessNeeds, memory: number, run?: RunHostProcess) {
    const program = { name: 'gradient host', path: hostProgram(), args: [String(memory)], lifeline: true }
    this.#host = new AskedHost(needs, { program, most: MAX_GRADIENT_BYTES, errors: ERRORS }, run)
  }

  get ended(): Promise<StageHostLostError> {
    return this.#host.ended
  }

  get pid(): number {
    return this.#host.pid
  }

  /** @throws what the host forwards, StageHostLostError */
  ask(
    kind: keyof typeof GRADIENT_HOST,
    control: Readonly<Record<string, unknown>>,
    tensors: Tensors = NOTHING,
  ): Promise<Message> {
    return this.#host.ask({ type: GRADIENT_HOST[kind], control, tensors, what: kind === 'load' ? false : kind })
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
