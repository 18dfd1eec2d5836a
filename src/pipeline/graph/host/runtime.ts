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
import type { HostMemory } from '../shared/host-memory.ts'
import { Decoding } from './decoding.ts'
import { GRAPH } from './protocol.ts'
import type { GraphHostStats, LoadedGraph, LoadGraph, RanGraph, RunGraph } from './protocol.ts'

export interface GraphRuntimeNeeds {
  readonly clock: Clock
  readonly engine: Engine
  /** Null: values come and go with messages. */
  readonly memory: HostMemory | null
  /** Resolves when there is room for more. */
  send(part: Frame): Promise<void>
}

export class GraphRuntime {
  readonly #needs: GraphRuntimeNeeds
  #graph: Graph | null = null
  /** By session: tensors for its next run, by the input that takes them. */
  readonly #states = new Map<number, Tensors>()
  readonly #decoding = new Decoding()
  readonly #waiting: Message[] = []
  #running = false
  /** The session of the run; null once it is closed. */
  #current: number | null = null
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
    // Now: a run that is dropped must not keep blocks of others.
    this.#needs.memory?.free(message.control['free'])
    this.#waiting.push(message)
    if (!this.#running) void this.#loop()
  }

  close(session: number): void {
    if (this.#current === session) this.#current = null
    this.#states.delete(session)
    this.#decoding.close(session)
    const left = this.#waiting.filter(({ control }) => control['session'] !== session)
    const dropped = this.#waiting.filter((message) => !left.includes(message))
    this.#waiting.splice(0, this.#waiting.length, ...left)
    // Who waits for them would take the host for wedged.
    for (const { head } of dropped) void this.#fail(head.request, new GraphSessionError('the session was closed'))
  }

  stats(): GraphHostStats {
    let stateBytes = 0
    for (const state of this.#states.values()) for (const tensor of state.values()) stateBytes += byteLength(tensor)
    const sessions = this.#states.size
    return {
      rss: process.memoryUsage.rss(),
      runs: this.#runs,
      computeMs: this.#computeMs,
      sessions,
      stateBytes,
      sharedBlocks: this.#needs.memory?.held ?? 0,
    }
  }

  async #loop(): Promise<void> {
    this.#running = true
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      const { request } = message.head
      try {
        await this.#runOne(message)
      } catch (error) {
        await this.#fail(request, error)
      }
      this.#runs++
    }
    this.#running = false
  }

  #fail(request: number, error: unknown): Promise<void> {
    const control = encodeControl(errorData(error))
    return this.#needs.send(frame({ type: GRAPH.error, request, control })).catch(() => undefined)
  }

  #keep(session: number, kept: RunGraph['kept'], results: Readonly<Record<string, AnyTensor>>): void {
    if (kept.length === 0 || this.#current !== session) return
    this.#states.set(session, new Map(kept.map(([output, input]) => [input, results[output]!])))
  }

  async #runOne({ head, control, tensors }: Message): Promise<void> {
    if (this.#graph === null) throw new GraphSessionError('no graph is loaded')
    const run = control as unknown as RunGraph
    const { session, kept } = run
    this.#current = session
    const feeds = Object.create(null) as Record<string, AnyTensor>
    for (const [name, tensor] of this.#states.get(session) ?? []) feeds[name] = tensor
    for (const [name, tensor] of tensors) feeds[name] = tensor
    const { memory } = this.#needs
    for (const [name, tensor] of memory?.read(control['shared']) ?? []) feeds[name] = tensor
    const wanted = this.#decoding.wanted(run)
    const started = this.#needs.clock.now()
    const processor = process.cpuUsage()
    const results = await this.#graph.runAny(feeds, wanted)
    const runMs = this.#needs.clock.now() - started
    const cpuMs = milliseconds(process.cpuUsage(processor))
    this.#computeMs += runMs
    const given = this.#decoding.given(run, results, runMs)
    this.#keep(session, kept, results)
    const shared = memory?.write(given) ?? null
    const stats: RanGraph = { runMs, cpuMs, shared: shared ?? [] }
    const answer = { type: GRAPH.result, request: head.request, control: { ...stats } }
    const frames = messageFrames(answer, shared === null ? given : new Map())
    // The next run blocks this thread, and what is not with the kernel by then would wait for its end.
    await Promise.all(Array.from(frames, (part) => this.#needs.send(part)))
    if (shared !== null) release(results, new Set(kept.map(([output]) => output)))
  }
}

function milliseconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000
}

/** At once, so that the next run gets the same memory; the collector would let several runs' outputs gather. */
function release(results: Readonly<Record<string, AnyTensor>>, kept: ReadonlySet<string>): void {
  for (const [name, { type, data }] of Object.entries(results)) {
    if (type === 'string' || kept.has(name) || !(data.buffer instanceof ArrayBuffer)) continue
    if (data.buffer.byteLength === data.byteLength) data.buffer.transfer(0)
  }
}

function byteLength({ type, data }: AnyTensor): number {
  return type === 'string' ? data.reduce((sum, text) => sum + text.length, 0) : data.byteLength
}
