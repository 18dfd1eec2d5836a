/**
 * One partition in the flow of one request: it collects the inputs of each unit (a micro-batch, a frame) from whoever
 * makes them, runs units in order as they are complete, and hands its outputs to each part that reads them.
 */
import type { AnyTensor } from '../../../onnx/index.ts'
import type { KeptPair } from '../host/protocol.ts'
import type { GraphHost } from '../host/graph-host.ts'
import type { Tensors } from '../tensors.ts'
import type { StageRoutes, Target } from './routes.ts'

export interface FlowStageNeeds {
  readonly host: Pick<GraphHost, 'run' | 'close'>
  /** Of the request, in this host. */
  readonly session: number
  readonly routes: StageRoutes
  /** Units that the request has; state that is carried is wanted after the last. */
  readonly units: number
  readonly deliver: (target: Target, unit: number, tensors: Tensors) => void
  readonly fail: (error: unknown) => void
  readonly ran: (stats: { readonly runMs: number; readonly bytes: number; readonly kept: number }) => void
  /** A run was given to the host, or has ended. */
  readonly busy: (by: 1 | -1) => void
}

export class FlowStage {
  readonly #needs: FlowStageNeeds
  /** By unit: what has arrived. */
  readonly #waiting = new Map<number, Map<string, AnyTensor>>()
  #next = 0
  #ended = false

  constructor(needs: FlowStageNeeds) {
    this.#needs = needs
  }

  /** Units that have begun to arrive and do not run yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  feed(unit: number, tensors: Tensors): void {
    if (this.#ended) return
    const here = this.#waiting.get(unit) ?? new Map<string, AnyTensor>()
    for (const [name, tensor] of tensors) here.set(name, tensor)
    this.#waiting.set(unit, here)
    this.#start()
  }

  /** A stage without inputs begins by itself. */
  begin(): void {
    this.#start()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#waiting.clear()
    this.#needs.host.close(this.#needs.session)
  }

  /** Runs are given to the host ahead of their turn: it takes them one after another, without a pause between. */
  #start(): void {
    const { routes, units } = this.#needs
    while (!this.#ended && this.#next < units) {
      const here = this.#waiting.get(this.#next) ?? new Map<string, AnyTensor>()
      const wanted = this.#next === 0 ? routes.first : routes.later
      if (!wanted.every((name) => here.has(name))) return
      this.#waiting.delete(this.#next)
      void this.#run(this.#next++, here)
    }
  }

  async #run(unit: number, feeds: Tensors): Promise<void> {
    const { host, session, routes, units, deliver, fail, ran, busy } = this.#needs
    const isLast = unit === units - 1
    const sends = isLast ? routes.last : routes.sends
    const kept: readonly KeptPair[] = isLast ? [] : routes.kept
    const fetch = [...new Set(sends.flatMap(({ values }) => values.map(([output]) => output)))]
    busy(1)
    try {
      const result = await host.run({ session, feeds, fetch, kept })
      busy(-1)
      if (this.#ended) return
      ran({ runMs: result.runMs, bytes: result.bytes, kept: kept.length })
      for (const { target, later, values } of sends) {
        const tensors = new Map(values.map(([output, name]) => [name, result.outputs.get(output)!]))
        deliver(target, unit + (later ? 1 : 0), tensors)
      }
    } catch (error) {
      busy(-1)
      if (!this.#ended) fail(error)
    }
  }
}
