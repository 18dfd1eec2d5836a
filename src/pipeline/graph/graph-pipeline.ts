/** A model file loaded in one process or several, and requests through it. */
import { availableParallelism } from 'node:os'
import { createOrtEngine } from '../../onnx/index.ts'
import type { Optimization, Wire } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { StageHostLostError } from '../host/host-errors.ts'
import { flowCounters, runFlow } from './flow/flow.ts'
import { startGraphHosts } from './host/graph-host.ts'
import type { GraphHost } from './host/graph-host.ts'
import { prepareGraph } from './prepare/prepare.ts'
import type { Prepared } from './prepare/prepare.ts'
import { runRequest } from './request.ts'
import type { GraphRequest, RequestContext, RequestStats } from './request.ts'
import type { Tensors } from './tensors.ts'

export interface GraphPipelineNeeds {
  readonly clock: Clock
  /** Folders for what can be made again. */
  readonly cache: string
  readonly codeCache: string
  /** Of the memory that the processes share; null: none. @default the system's, where it has one */
  readonly sharedFolder?: string | null | undefined
  progress?(step: string): void
}

export interface OpenGraph {
  readonly path: string
  /** Processes. @default 1 */
  readonly parts?: number | undefined
  /** Bytes of weights and live values that a process may have for its part. @default no limit */
  readonly memory?: number | undefined
  /** As what float32 goes from part to part; `f16` rounds it. @default 'f32' */
  readonly wire?: Wire | undefined
  /** Of each process. @default the cores, shared evenly */
  readonly threads?: number | undefined
  /** @default the highest that is proven for the parts; for the whole, all that the engine has */
  readonly optimization?: Optimization | undefined
}

export interface InferenceStats extends Omit<RequestStats, 'counters'> {
  readonly parts: number
  /** Of each process; 0: as many as each peer has given. */
  readonly threads: number
  readonly optimization: Optimization
  readonly load_ms: number
  readonly counters: Readonly<Record<string, number>>
}

export interface InferenceHop {
  /** Over the mesh. */
  readonly peer?: string
  readonly pid: number
  readonly from: number
  readonly to: number
}

export interface Inference {
  readonly outputs: Tensors
  readonly route: readonly InferenceHop[]
  readonly stats: InferenceStats
}

const LEVELS: readonly Optimization[] = ['all', 'extended', 'basic', 'off']

export class GraphPipeline {
  readonly prepared: Prepared
  readonly #clock: Clock
  readonly #hosts: readonly GraphHost[]
  readonly #loaded: { readonly threads: number; readonly optimization: Optimization; readonly loadMs: number }
  #session = 0

  private constructor(
    needs: GraphPipelineNeeds,
    prepared: Prepared,
    hosts: readonly GraphHost[],
    loaded: { readonly threads: number; readonly optimization: Optimization; readonly loadMs: number },
  ) {
    this.prepared = prepared
    this.#clock = needs.clock
    this.#hosts = hosts
    this.#loaded = loaded
  }

  /** Reads the file, cuts it where it is to have parts, and has it loaded. @throws what these throw */
  static async open(needs: GraphPipelineNeeds, open: OpenGraph, signal?: AbortSignal): Promise<GraphPipeline> {
    const { path, parts = 1, memory, wire, optimization = null } = open
    const kernel = createOrtEngine().kernelId
    const cutting = { path, parts, memory, wire, optimization, measured: true }
    const prepared = await prepareGraph({ ...needs, kernel }, cutting, signal)
    needs.progress?.('load')
    const files = prepared.graph.parts.map(({ file }) => file)
    const threads = open.threads ?? Math.max(1, Math.floor(availableParallelism() / files.length))
    const started = needs.clock.now()
    const proven = prepared.graph.optimization
    // The engine's optimizer ends the process over some graphs (1.30): a lower level is tried then.
    for (const level of proven === null ? LEVELS : [proven]) {
      try {
        const hosts = await startHosts(needs, files, { threads, optimization: level }, signal)
        const loaded = { threads, optimization: level, loadMs: needs.clock.now() - started }
        return new GraphPipeline(needs, prepared, hosts, loaded)
      } catch (error) {
        if (!(error instanceof StageHostLostError) || proven !== null || level === LEVELS.at(-1)) throw error
      }
    }
    throw new Error('unreachable: the last level either loads or throws')
  }

  get hosts(): readonly GraphHost[] {
    return this.#hosts
  }

  /** @throws GraphInputError, GraphRequestError, GraphOutputError, what the hosts throw, the signal's reason */
  async infer(inputs: Tensors, request: GraphRequest = {}, signal?: AbortSignal): Promise<Inference> {
    const { prepared } = this
    const { parts } = prepared.graph
    const { threads, optimization, loadMs } = this.#loaded
    const counters = flowCounters()
    const context: RequestContext = {
      clock: this.#clock,
      prepared,
      optimization,
      where: String(threads),
      flow: (units, carries) =>
        runFlow({ parts, carries, hosts: this.#hosts, session: ++this.#session, units, counters, signal }),
    }
    const { outputs, stats } = await runRequest(context, inputs, request)
    return {
      outputs,
      route: parts.map(({ blocks }, part) => ({ pid: this.#hosts[part]!.pid, from: blocks[0], to: blocks[1] })),
      stats: {
        parts: this.#hosts.length,
        threads,
        optimization,
        load_ms: loadMs,
        ...stats,
        counters: { ...counters, ...stats.counters },
      },
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()))
  }
}

async function startHosts(
  needs: GraphPipelineNeeds,
  files: readonly string[],
  options: { readonly threads: number; readonly optimization: Optimization },
  signal?: AbortSignal,
): Promise<readonly GraphHost[]> {
  signal?.throwIfAborted()
  const hosts = startGraphHosts(needs, files.length)
  const stopped = Promise.withResolvers<never>()
  const abort = (): void => stopped.reject(signal!.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const loads = hosts.map((host, part) => host.load({ path: files[part]!, ...options }))
    await Promise.race([Promise.all(loads), stopped.promise])
    return hosts
  } catch (error) {
    await Promise.all(hosts.map((host) => host.stop()))
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
