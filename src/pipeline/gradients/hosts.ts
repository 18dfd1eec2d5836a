/** The gradient hosts of a peer: one a session, with memory that is counted before it starts and watched while it runs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../util/index.ts'
import { MemoryQuotaError } from '../errors.ts'
import type { Tensors } from '../graph/tensors.ts'
import type { RunHostProcess } from '../host/host-process.ts'
import { GradientHost } from './host/gradient-host.ts'
import type { GradientOpen } from './protocol.ts'

export interface GradientHostsNeeds {
  readonly clock: Clock
  readonly codeCache: string
  /** Of this peer: the most that a host gets. */
  readonly threads: number
  /** Bytes that weft may use. */
  readonly memory: number
  /** Those that others take. What they only keep they give back, down to `most`. */
  taken(most: number): number
  /** @default a child process */
  readonly runHost?: RunHostProcess | undefined
  count(name: string, by?: number): void
}

export interface LentGradientHost {
  readonly host: GradientHost
  readonly kernel: string
  readonly threads: number
  readonly done: () => void
}

/** Node and the engine alone hold about this much. */
const LEAST_MEMORY = 2 ** 29
/** Parameters, the sum before and after, and the gradient. */
const BYTES_A_PARAMETER = 4 * 4

export class GradientHosts {
  readonly #needs: GradientHostsNeeds
  /** With the bytes that each was counted with. */
  readonly #hosts = new Map<GradientHost, number>()

  constructor(needs: GradientHostsNeeds) {
    this.#needs = needs
  }

  /**
   * With the graph of the task made.
   * @param task as it came in
   * @throws MemoryQuotaError, GradientTaskError, TrainedModelError, NoGradientRuleError, EngineError, StageHostLostError
   */
  async lend(
    { digest, parameters, threads: asked, gradients }: GradientOpen,
    task: Tensors,
  ): Promise<LentGradientHost> {
    const { clock, codeCache, memory, runHost } = this.#needs
    const need = BYTES_A_PARAMETER * parameters
    const ours = need + [...this.#hosts.values()].reduce((sum, bytes) => sum + bytes, 0)
    const taken = ours + this.#needs.taken(memory - ours)
    if (taken > memory) throw new MemoryQuotaError(`the run ${digest.slice(0, 12)}`, taken, memory)
    const host = new GradientHost({ clock, codeCache }, LEAST_MEMORY + need + (memory - taken), runHost)
    this.#hosts.set(host, need)
    void host.ended.then(() => this.#hosts.delete(host))
    try {
      const folder = await mkdtemp(join(tmpdir(), 'weft-gradient-'))
      host.ended.then(() => rm(folder, { recursive: true, force: true })).catch(() => undefined)
      const threads = Math.min(asked, this.#needs.threads)
      const { control } = await host.ask('load', { folder, threads, parameters, ...(gradients && { gradients }) }, task)
      this.#needs.count('training_hosts')
      return { host, kernel: String(control['kernel']), threads, done: () => void host.stop() }
    } catch (error) {
      await host.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#hosts.keys()].map((host) => host.stop()))
  }
}
