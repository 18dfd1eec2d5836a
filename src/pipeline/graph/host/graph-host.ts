/** A graph host as its peer sees it: a child process that is given a file and named tensors, watched and ended. */
import { totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { frame } from '../../../net/index.ts'
import type { AnyTensor } from '../../../onnx/index.ts'
import type { StageHostLostError } from '../../host/host-errors.ts'
import { startHostProcess } from '../../host/host-process.ts'
import type { HostProcess, HostProcessNeeds, RunHostProcess } from '../../host/host-process.ts'
import { Watchdog } from '../../host/watchdog.ts'
import type { Patience } from '../../host/watchdog.ts'
import { TensorTableError } from '../errors.ts'
import { GroupMemory } from '../shared/group-memory.ts'
import { SHARED_FOLDER } from '../shared/segment.ts'
import { isShared } from '../shared/shared-tensor.ts'
import type { FlowValue, FlowValues, SharedRow, SharedTensor } from '../shared/shared-tensor.ts'
import type { Tensors } from '../tensors.ts'
import { Calls } from './calls.ts'
import { GRAPH } from './protocol.ts'
import type { GraphHostStats, LoadedGraph, LoadGraph, RunGraph } from './protocol.ts'

/** Loading optimises the graph and packs weights, some 100 MB a second. */
const LOAD_DEADLINE_MS = 600_000
const STATS_DEADLINE_MS = 2_000
/** Sizes of runs differ more than rows of a language model do, and time may grow with their square. */
const PATIENCE = { firstMs: 5_000, slowdown: 64 }
/**
 * What a run frees is kept for the next one: glibc gives larger blocks back to the system each time, and new pages were
 * a fifth of the processor time of a small detector (measured). The largest that glibc takes, and what may lie free.
 */
const KEEP_FREED = { MALLOC_MMAP_THRESHOLD_: String(32 << 20), MALLOC_TRIM_THRESHOLD_: String(128 << 20) }

export interface GraphRun extends RunGraph {
  readonly feeds: Tensors
}

export interface RunStats {
  readonly runMs: number
  /** Of all threads of the host. */
  readonly cpuMs: number
  /** Of inputs and outputs. */
  readonly bytes: number
  /** Of these, what went through shared memory. */
  readonly sharedBytes: number
}

export interface GraphResult extends RunStats {
  readonly outputs: Tensors
}

export interface DirectRun extends RunGraph {
  /** Also what other hosts of the group have made, where it lies. */
  readonly feeds: FlowValues
}

export interface DirectResult extends RunStats {
  readonly outputs: FlowValues
}

export interface GraphHost {
  readonly pid: number
  /** @throws EngineError's code forwarded, StageHostError, StageHostLostError */
  load(graph: LoadGraph): Promise<LoadedGraph>
  /** Runs go in the order of these calls; one that fails leaves the host alive. @throws as `load`, TensorTableError */
  run(run: GraphRun): Promise<GraphResult>
  /** As `run`, but outputs stay in the host's memory where they can, until `free`. @throws as `run` */
  runDirect(run: DirectRun): Promise<DirectResult>
  /** Of this host. @param into memory for its bytes, which the copy then holds. @throws TensorTableError */
  read(tensor: SharedTensor, into?: Uint8Array): AnyTensor
  /** Nobody reads this tensor, and those that were made with it, any more. */
  free(tensor: SharedTensor): void
  /** Drops a session's state, and its runs that have not begun: these fail. */
  close(session: number): void
  stats(): Promise<GraphHostStats>
  /** Resolves with the reason when the process has ended, whoever ended it. */
  readonly ended: Promise<StageHostLostError>
  stop(): Promise<void>
}

export interface GraphHostNeeds extends HostProcessNeeds {
  /** Bytes that the process may hold, mapped files not counted. @default all that the machine has */
  readonly memory?: number
  /** Folder of the shared memory; null: none, and values go over sockets. @default the system's, where it has one */
  readonly sharedFolder?: string | null | undefined
  /** How long runs may take before it counts as wedged. @default as parts of models need it */
  readonly patience?: Patience | undefined
  /** @default a child process */
  readonly runHost?: RunHostProcess | undefined
}

/** Starts the child process; nothing is loaded yet. */
export function startGraphHost(needs: GraphHostNeeds): GraphHost {
  return startGraphHosts(needs, 1)[0]!
}

/** Several that read what the others make. */
export function startGraphHosts(needs: GraphHostNeeds, count: number): readonly GraphHost[] {
  const { sharedFolder = SHARED_FOLDER } = needs
  const memory = sharedFolder === null ? null : GroupMemory.open(sharedFolder, count)
  const hosts = Array.from({ length: count }, (_, index) => new ChildGraphHost(needs, index, memory))
  memory?.started()
  return hosts
}

/** In a checkout the TypeScript file, in the package the JavaScript one beside this file. */
function hostProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return fileURLToPath(new URL(`./main.${extension}`, import.meta.url))
}

class ChildGraphHost implements GraphHost {
  readonly ended: Promise<StageHostLostError>
  readonly #host: HostProcess
  readonly #calls: Calls
  readonly #watchdog: Watchdog
  readonly #index: number
  readonly #memory: GroupMemory | null
  /** Blocks of the host's, to be told with the next run. */
  #freed: number[] = []

  constructor(needs: GraphHostNeeds, index: number, memory: GroupMemory | null) {
    const files = memory?.descriptorsFor(index) ?? []
    const args = [needs.memory ?? totalmem(), files.length, index + 1].map(String)
    const program = { name: 'graph host', path: hostProgram(), args, lifeline: true, files, env: KEEP_FREED }
    this.#index = index
    this.#memory = memory
    this.#host = (needs.runHost ?? startHostProcess)(needs, program)
    this.#calls = new Calls(needs.clock, this.#host)
    this.#watchdog = new Watchdog(
      needs.clock,
      () => this.#host.kill(),
      needs.patience ?? PATIENCE,
      () => this.#host.isStopped?.() === true,
    )
    this.ended = this.#host.ended
    void this.ended.then(() => {
      this.#watchdog.stop()
      memory?.ended()
    })
  }

  get pid(): number {
    return this.#host.pid
  }

  async load(graph: LoadGraph): Promise<LoadedGraph> {
    return (await this.#calls.ask(GRAPH.load, LOAD_DEADLINE_MS, graph)) as LoadedGraph
  }

  async stats(): Promise<GraphHostStats> {
    return (await this.#calls.ask(GRAPH.stats, STATS_DEADLINE_MS, null)) as GraphHostStats
  }

  async run(run: GraphRun): Promise<GraphResult> {
    const { outputs, ...stats } = await this.runDirect(run)
    const shared = [...outputs.values()].find(isShared)
    try {
      const read = (value: FlowValue): AnyTensor => (isShared(value) ? this.read(value) : value)
      return { outputs: new Map([...outputs].map(([name, value]) => [name, read(value)])), ...stats }
    } finally {
      if (shared !== undefined) this.free(shared)
    }
  }

  async runDirect(run: DirectRun): Promise<DirectResult> {
    const { own, shared } = this.#placed(run.feeds)
    const mine = shared.find(([, , , , segment]) => segment === 0)
    this.#watchdog.given(0, 1)
    try {
      const { answer, sent } = await this.#calls.run(run, { shared, free: this.#freed.splice(0) }, own)
      const made = this.#memory?.check(this.#index, answer.control['shared']) ?? []
      const outputs = new Map<string, FlowValue>(answer.tensors)
      for (const row of made) outputs.set(row[0], { row })
      const missing = run.fetch.find((name) => !outputs.has(name))
      if (missing !== undefined) throw new TensorTableError('an output is missing', { name: missing })
      const sharedBytes = bytesOf(shared) + bytesOf(made)
      const { runMs, cpuMs } = answer.control
      return {
        outputs,
        runMs: Number(runMs),
        cpuMs: Number(cpuMs),
        bytes: sent + answer.bytes + sharedBytes,
        sharedBytes,
      }
    } finally {
      this.#watchdog.answered(0, 1)
      if (mine !== undefined) this.#memory?.free(mine[5])
    }
  }

  /** What is not in shared memory yet goes there in one block, or with the message. */
  #placed(feeds: FlowValues): { readonly own: Tensors; readonly shared: readonly SharedRow[] } {
    const shared: SharedRow[] = []
    const own = new Map<string, AnyTensor>()
    for (const [name, value] of feeds) {
      if (!isShared(value)) own.set(name, value)
      else {
        const [, type, dims, bytes, segment, block, offset] = value.row
        shared.push([name, type, dims, bytes, segment, block, offset])
      }
    }
    const written = this.#memory?.write(own) ?? null
    return written === null ? { own, shared } : { own: new Map(), shared: [...shared, ...written] }
  }

  read({ row }: SharedTensor, into?: Uint8Array): AnyTensor {
    return this.#memory!.read(row, into)
  }

  free({ row }: SharedTensor): void {
    this.#freed.push(row[5])
  }

  close(session: number): void {
    this.#host.send(frame({ type: GRAPH.close, request: session })).catch(() => undefined)
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }
}

function bytesOf(rows: readonly SharedRow[]): number {
  return rows.reduce((sum, [, , , bytes]) => sum + bytes, 0)
}
