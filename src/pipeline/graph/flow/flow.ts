/** The units of one request on their way through the parts of a model: several at once, results in order. */
import type { GraphHost } from '../host/graph-host.ts'
import type { KeptPair } from '../host/protocol.ts'
import type { FlowValue } from '../shared/shared-tensor.ts'
import type { Tensors } from '../tensors.ts'
import { DirectHosts } from './direct-hosts.ts'
import { FlowOrigin } from './origin.ts'
import type { FlowUnits } from './origin.ts'
import { stageRoutes } from './routes.ts'
import type { FlowPart } from './routes.ts'
import { FlowStage } from './stage.ts'

export interface FlowCounters {
  runs: number
  /** Packed bytes of tensors that went to and from processes. */
  boundary_bytes: number
  /** Of these, the ones that went through shared memory. */
  shared_bytes: number
  /** Tensors that went from the process that made them to one that reads them, and past this one. */
  values_direct: number
  /** Tensors of state that did not leave the process that computes with them. */
  state_kept: number
  /** The most parts that had work at one time. */
  stages_at_once: number
  compute_ms: number
  /** Processor time of the engine's threads. */
  compute_cpu_ms: number
}

export function flowCounters(): FlowCounters {
  return {
    runs: 0,
    boundary_bytes: 0,
    shared_bytes: 0,
    values_direct: 0,
    state_kept: 0,
    stages_at_once: 0,
    compute_ms: 0,
    compute_cpu_ms: 0,
  }
}

export interface FlowInit {
  readonly parts: readonly FlowPart[]
  readonly carries: readonly KeptPair[]
  readonly hosts: readonly GraphHost[]
  readonly session: number
  readonly units: FlowUnits
  readonly counters: FlowCounters
  readonly signal?: AbortSignal | undefined
}

/** @returns the outputs of each unit. @throws what the first part to fail threw, the signal's reason */
export async function runFlow(init: FlowInit): Promise<readonly Tensors[]> {
  const { signal } = init
  signal?.throwIfAborted()
  const flow = new Flow(init)
  const abort = (): void => flow.fail(signal!.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await flow.run()
  } finally {
    signal?.removeEventListener('abort', abort)
    flow.end()
  }
}

class Flow {
  readonly #stages: readonly FlowStage<FlowValue>[]
  readonly #direct: DirectHosts
  readonly #origin: FlowOrigin
  readonly #busy: number[]

  constructor(init: FlowInit) {
    const { parts, carries, hosts, session, units, counters } = init
    this.#busy = parts.map(() => 0)
    this.#direct = new DirectHosts(hosts, units.count)
    this.#origin = new FlowOrigin({
      parts,
      carries,
      units,
      feed: (part, unit, tensors) => this.#stages[part]!.feed(unit, tensors),
    })
    this.#stages = stageRoutes(parts, carries).map(
      (routes, part) =>
        new FlowStage<FlowValue>({
          host: this.#direct.host(part),
          session,
          routes,
          units: units.count,
          deliver: (target, unit, tensors) => {
            if (target === 'origin') this.#origin.take(unit, this.#direct.take(part, unit, tensors))
            else {
              counters.values_direct += DirectHosts.count(tensors)
              this.#stages[target]!.feed(unit, tensors)
            }
          },
          fail: (error) => this.fail(error),
          ran: ({ runMs, cpuMs, bytes, sharedBytes, kept }) => {
            counters.runs++
            counters.boundary_bytes += bytes
            counters.shared_bytes += sharedBytes
            counters.state_kept += kept
            counters.compute_ms += runMs
            counters.compute_cpu_ms += cpuMs
          },
          busy: (by) => {
            this.#busy[part]! += by
            const working = this.#busy.filter((count) => count > 0).length
            counters.stages_at_once = Math.max(counters.stages_at_once, working)
          },
        }),
    )
  }

  run(): Promise<readonly Tensors[]> {
    return this.#origin.run()
  }

  fail(error: unknown): void {
    this.#origin.fail(error)
  }

  end(): void {
    for (const stage of this.#stages) stage.end()
    this.#direct.end()
  }
}
