/**
 * One partition in the flow of one request: it collects the inputs of each unit (a micro-batch, a frame) from whoever
 * makes them, runs units in order as they are complete, and hands its outputs to each part that reads them.
 */
import type { AnyTensor } from '../../../onnx/index.ts'
import type { KeptPair, RunGraph } from '../host/protocol.ts'
import type { RunStats } from '../host/graph-host.ts'
import { stepOf } from './decode-part.ts'
import type { DecodePart } from './decode-part.ts'
import type { StageRoutes, Target } from './routes.ts'

type Values<Value> = ReadonlyMap<string, Value>

export interface StageRun<Value> extends RunGraph {
  readonly feeds: Values<Value>
  /** How many will take values that it makes. */
  readonly readers: number
}

/** A graph host, as far as a stage needs it. */
export interface StageHost<Value> {
  run(run: StageRun<Value>): Promise<RunStats & { readonly outputs: Values<Value> }>
  close(session: number): void
}

/** @typeParam Value a tensor, or what stands for one where it lies elsewhere */
export interface FlowStageNeeds<Value = AnyTensor> {
  readonly host: StageHost<Value>
  /** Of the request, in this host. */
  readonly session: number
  readonly routes: StageRoutes
  /** Units that the request has; state that is carried is wanted after the last. */
  readonly units: number
  /** The units are steps of a decoder. */
  readonly decode?: DecodePart | undefined
  readonly deliver: (target: Target, unit: number, tensors: Values<Value>) => void
  readonly fail: (error: unknown) => void
  readonly ran: (stats: RunStats & { readonly kept: number }) => void
  /** A run was given to the host, or has ended. */
  readonly busy: (by: 1 | -1) => void
}

export class FlowStage<Value = AnyTensor> {
  readonly #needs: FlowStageNeeds<Value>
  /** By unit: what has arrived. */
  readonly #waiting = new Map<number, Map<string, Value>>()
  #next = 0
  #ended = false

  constructor(needs: FlowStageNeeds<Value>) {
    this.#needs = needs
  }

  /** Units that have begun to arrive and do not run yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  feed(unit: number, tensors: Values<Value>): void {
    if (this.#ended) return
    const here = this.#waiting.get(unit) ?? new Map<string, Value>()
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
      const here = this.#waiting.get(this.#next) ?? new Map<string, Value>()
      const wanted = this.#next === 0 ? routes.first : routes.later
      if (!wanted.every((name) => here.has(name))) return
      this.#waiting.delete(this.#next)
      void this.#run(this.#next++, here)
    }
  }

  async #run(unit: number, feeds: Values<Value>): Promise<void> {
    const { host, session, routes, units, deliver, fail, ran, busy } = this.#needs
    const isLast = unit === units - 1
    const sends = isLast ? routes.last : routes.sends
    const kept: readonly KeptPair[] = isLast ? [] : routes.kept
    const fetch = [...new Set(sends.flatMap(({ values }) => values.map(([output]) => output)))]
    busy(1)
    try {
      const decode = stepOf(this.#needs.decode, unit)
      const run = { session, feeds, fetch, kept, decode, readers: sends.length }
      const { outputs, ...stats } = await host.run(run).finally(() => busy(-1))
      if (this.#ended) return
      ran({ ...stats, kept: kept.length })
      for (const { target, later, values } of sends) {
        const tensors = new Map(values.map(([output, name]) => [name, outputs.get(output)!]))
        deliver(target, unit + (later ? 1 : 0), tensors)
      }
    } catch (error) {
      if (!this.#ended) fail(error)
    }
  }
}
