/** A graph host as its peer sees it: a child process that is given a file and named tensors, watched and ended. */
import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ForwardedError, UnexpectedError } from '../../../errors.ts'
import type { ErrorData } from '../../../errors.ts'
import { decodeControl, encodeControl, frame } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import { ONNX_ERRORS } from '../../../onnx/index.ts'
import type { Clock } from '../../../util/index.ts'
import { StageHostError } from '../../host/host-errors.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import { startHostProcess } from '../../host/host-process.ts'
import type { HostProcess, HostProcessNeeds } from '../../host/host-process.ts'
import { Watchdog } from '../../host/watchdog.ts'
import { GRAPH_ERRORS } from '../errors.ts'
import { messageFrames, MessageReader } from '../messages.ts'
import type { Message } from '../messages.ts'
import type { Tensors } from '../tensors.ts'
import { GRAPH, MAX_RUN_BYTES } from './protocol.ts'
import type { GraphHostStats, LoadedGraph, LoadGraph, RunGraph } from './protocol.ts'

/** Loading optimises the graph and packs weights, some 100 MB a second. */
const LOAD_DEADLINE_MS = 600_000
const STATS_DEADLINE_MS = 2_000
/** Sizes of runs differ more than rows of a language model do, and time may grow with their square. */
const PATIENCE = { firstMs: 5_000, slowdown: 64 }

export interface GraphRun extends RunGraph {
  readonly feeds: Tensors
}

export interface GraphResult {
  readonly outputs: Tensors
  readonly runMs: number
  /** Of inputs and outputs that went over the socket. */
  readonly bytes: number
}

export interface GraphHost {
  readonly pid: number
  /** @throws EngineError's code forwarded, StageHostError, StageHostLostError */
  load(graph: LoadGraph): Promise<LoadedGraph>
  /** Runs go in the order of these calls; one that fails leaves the host alive. @throws as `load` */
  run(run: GraphRun): Promise<GraphResult>
  /** Drops a session's state, and its runs that have not begun. */
  close(session: number): void
  stats(): Promise<GraphHostStats>
  /** Resolves with the reason when the process has ended, whoever ended it. */
  readonly ended: Promise<StageHostLostError>
  stop(): Promise<void>
}

export interface GraphHostNeeds extends HostProcessNeeds {
  /** Bytes that the process may hold, mapped files not counted. @default all that the machine has */
  readonly memory?: number
}

/** Starts the child process; nothing is loaded yet. */
export function startGraphHost(needs: GraphHostNeeds): GraphHost {
  const args = [String(needs.memory ?? totalmem())]
  const host = startHostProcess(needs, { name: 'graph host', path: hostProgram(), args, lifeline: true })
  const calls = new Calls(needs.clock, host)
  const watchdog = new Watchdog(needs.clock, () => host.kill(), PATIENCE)
  void host.ended.then(() => watchdog.stop())
  return {
    pid: host.pid,
    ended: host.ended,
    load: async (graph) => (await calls.ask(GRAPH.load, LOAD_DEADLINE_MS, graph)) as LoadedGraph,
    stats: async () => (await calls.ask(GRAPH.stats, STATS_DEADLINE_MS, null)) as GraphHostStats,
    run: async (run) => {
      watchdog.given(1)
      try {
        return await calls.run(run)
      } finally {
        watchdog.answered(1)
      }
    },
    close: (session) => void host.send(frame({ type: GRAPH.close, request: session })).catch(() => undefined),
    stop: () => host.stop(),
  }
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}

type Answer = Message | Frame

class Calls {
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

  async run({ feeds, session, fetch, kept }: GraphRun): Promise<GraphResult> {
    const control = { session, fetch, kept }
    let sent = 0
    const answer = await this.#call((request) => {
      const frames = [...messageFrames({ type: GRAPH.run, request, control }, feeds)]
      sent = frames.reduce((sum, { payload }) => sum + payload.length, 0)
      return frames
    })
    if (!('tensors' in answer)) throw forwarded(answer)
    return { outputs: answer.tensors, runMs: Number(answer.control['runMs']), bytes: sent + answer.bytes }
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
