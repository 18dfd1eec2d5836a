/** The work of a graph host without its socket: a loaded graph, runs one after another, the state of sessions. */
import { errorData } from '../../../errors.ts'
import { encodeControl, frame } from '../../../net/index.ts'
import type { Frame } from '../../../net/index.ts'
import type { AnyTensor, Engine, Graph } from '../../../onnx/index.ts'
import type { Clock } from '../../../util/index.ts'
import { GraphSessionError } from '../errors.ts'
import { messageFrames } from '../messages.ts'
import type { Message } from '../messages.ts'
import type { Tensors } from '../tensors.ts'
import { GRAPH } from './protocol.ts'
import type { GraphHostStats, LoadedGraph, LoadGraph, RunGraph } from './protocol.ts'

export interface GraphRuntimeNeeds {
  readonly clock: Clock
  readonly engine: Engine
  /** Resolves when there is room for more. */
  send(part: Frame): Promise<void>
}

export class GraphRuntime {
  readonly #needs: GraphRuntimeNeeds
  #graph: Graph | null = null
  /** By session: tensors for its next run, by the input that takes them. */
  readonly #states = new Map<number, Tensors>()
  readonly #waiting: Message[] = []
  #running = false
  #runs = 0
  #computeMs = 0

  constructor(needs: GraphRuntimeNeeds) {
    this.#needs = needs
  }

  /** In place of the graph that was loaded before. @throws EngineError */
  async load({ path, threads, optimization }: LoadGraph): Promise<LoadedGraph> {
    const { clock, engine } = this.#needs
    const started = clock.now()
    await this.#graph?.release()
    this.#graph = await engine.load(path, { threads, optimization })
    return { kernel: engine.kernelId, loadMs: clock.now() - started }
  }

  run(message: Message): void {
    this.#waiting.push(message)
    if (!this.#running) void this.#loop()
  }

  close(session: number): void {
    this.#states.delete(session)
    const left = this.#waiting.filter(({ control }) => control['session'] !== session)
    this.#waiting.splice(0, this.#waiting.length, ...left)
  }

  stats(): GraphHostStats {
    let stateBytes = 0
    for (const state of this.#states.values()) for (const tensor of state.values()) stateBytes += byteLength(tensor)
    const sessions = this.#states.size
    return { rss: process.memoryUsage.rss(), runs: this.#runs, computeMs: this.#computeMs, sessions, stateBytes }
  }

  async #loop(): Promise<void> {
    this.#running = true
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      const { request } = message.head
      try {
        await this.#runOne(message)
      } catch (error) {
        const control = encodeControl(errorData(error))
        await this.#needs.send(frame({ type: GRAPH.error, request, control })).catch(() => undefined)
      }
      this.#runs++
    }
    this.#running = false
  }

  async #runOne({ head, control, tensors }: Message): Promise<void> {
    if (this.#graph === null) throw new GraphSessionError('no graph is loaded')
    const { session, fetch, kept } = control as unknown as RunGraph
    const feeds = Object.create(null) as Record<string, AnyTensor>
    for (const [name, tensor] of this.#states.get(session) ?? []) feeds[name] = tensor
    for (const [name, tensor] of tensors) feeds[name] = tensor
    const wanted = [...new Set([...fetch, ...kept.map(([output]) => output)])]
    const started = this.#needs.clock.now()
    const results = await this.#graph.runAny(feeds, wanted)
    const runMs = this.#needs.clock.now() - started
    this.#computeMs += runMs
    if (kept.length > 0) this.#states.set(session, new Map(kept.map(([output, input]) => [input, results[output]!])))
    const given = new Map(fetch.map((name) => [name, results[name]!]))
    const frames = messageFrames({ type: GRAPH.result, request: head.request, control: { runMs } }, given)
    // The next run blocks this thread, and what is not with the kernel by then would wait for its end.
    await Promise.all(Array.from(frames, (part) => this.#needs.send(part)))
  }
}

function byteLength({ type, data }: AnyTensor): number {
  return type === 'string' ? data.reduce((sum, text) => sum + text.length, 0) : data.byteLength
}
