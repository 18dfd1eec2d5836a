/** What this device is and what the ways from it are: all that it tells others of itself, and how it comes to know. */
import type { AnyManifest } from '../models/index.ts'
import { createProber, serveProbes } from '../net/index.ts'
import type { Network, Prober } from '../net/index.ts'
import type { Logger, Telemetry } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import { LinkBook } from './link-book.ts'
import { DeviceMeasures } from './profile-measures.ts'
import type { Machine } from './machine.ts'
import type { HardwareProfile } from './types.ts'

/** Share of the free memory that weft takes by itself; others need the rest. */
const MEMORY_SHARE = 0.6

export interface ProfilingNeeds {
  readonly clock: Clock
  readonly machine: Machine
  readonly telemetry: Telemetry
  readonly logger: Logger
  /** Where measures are kept. */
  readonly directory: string
  /** Threads of each stage. */
  readonly threads: number
  /** Bytes that the user allows. */
  readonly memory: number | undefined
}

export class Profiling {
  readonly #needs: ProfilingNeeds
  readonly measures: DeviceMeasures
  readonly links: LinkBook
  #idle: () => boolean = () => true
  #prober: Prober | undefined

  constructor(needs: ProfilingNeeds) {
    const { clock, directory, logger, machine, telemetry, threads } = needs
    this.#needs = needs
    this.links = new LinkBook(clock)
    this.measures = new DeviceMeasures({
      clock,
      directory,
      threads,
      telemetry,
      system: machine.system,
      trial: (signal) => machine.trial(signal),
      ...(machine.load === undefined ? {} : { load: machine.load }),
      idle: () => this.#idle(),
      log: (fields, message) => logger.warn(fields, message),
    })
  }

  /** @param models of which the speed is told */
  hardware(models: readonly AnyManifest[] = []): HardwareProfile {
    const { measures } = this
    const { cpu, cores, memory } = this.#needs.machine
    const { total, free } = memory()
    return {
      platform: process.platform,
      arch: process.arch,
      cpu,
      cores,
      memory_total: total,
      memory_free: free,
      memory_quota: this.#needs.memory ?? Math.floor(free * MEMORY_SHARE),
      speed: measures.trial?.speed ?? 0,
      kernel: measures.kernel,
      memory_bandwidth: measures.trial?.bandwidth ?? 0,
      ...measures.power,
      models: measures.speeds(models),
    }
  }

  /**
   * Measures, and answers probes of others; resolves with the first figures.
   * @param idle nothing is computed now
   */
  async start(network: Network, idle: () => boolean): Promise<void> {
    const { clock, telemetry } = this.#needs
    this.#idle = idle
    this.#prober = createProber({ network, clock, telemetry })
    serveProbes({ network, clock, telemetry })
    network.on({ addresses: () => this.links.forget() })
    await this.measures.start()
  }

  /** Undefined before the start, and for a peer that is alone. */
  get prober(): Prober | undefined {
    return this.#prober
  }
}
