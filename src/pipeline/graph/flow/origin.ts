/** Who asked, in the flow of a request: lets units in, a few at a time, and takes their outputs as they come. */
import type { AnyTensor } from '../../../onnx/index.ts'
import type { KeptPair } from '../host/protocol.ts'
import type { Tensors } from '../tensors.ts'
import { originFeeds, originWants } from './routes.ts'
import type { FlowPart } from './routes.ts'

export interface FlowUnits {
  readonly count: number
  /** Inputs of the model for one unit; asked for when its turn has come. */
  feeds(unit: number): Tensors
}

export interface FlowOriginInit {
  readonly parts: readonly FlowPart[]
  readonly carries: readonly KeptPair[]
  readonly units: FlowUnits
  /** Gives a part the inputs of the model that it reads; none, where it reads none. */
  readonly feed: (part: number, unit: number, tensors: Tensors) => void
}

/** Beyond one a part: what is ready when a part has done its work, and what the origin is taking in. */
export const SPARE_UNITS = 2

export class FlowOrigin {
  readonly #init: FlowOriginInit
  readonly #done = Promise.withResolvers<readonly Tensors[]>()
  readonly #results: Map<string, AnyTensor>[] = []
  readonly #missing: number[] = []
  #admitted = 0
  /** Units before it have all their outputs. */
  #complete = 0
  #failed = false

  constructor(init: FlowOriginInit) {
    this.#init = init
    // A failure may come before anybody waits.
    this.#done.promise.catch(() => undefined)
  }

  /** @returns the outputs of each unit. @throws what `fail` was given first */
  run(): Promise<readonly Tensors[]> {
    if (this.#init.units.count === 0) return Promise.resolve([])
    this.#admit()
    return this.#done.promise
  }

  fail(error: unknown): void {
    this.#failed = true
    this.#done.reject(error)
  }

  /** Outputs of a unit, from the part that makes them. False for what was not asked for. */
  take(unit: number, tensors: Tensors): boolean {
    const results = this.#results[unit]
    if (results === undefined) return false
    const wanted = new Set(this.#wants(unit))
    for (const [name, tensor] of tensors) {
      if (!wanted.has(name) || results.has(name)) return false
      results.set(name, tensor)
    }
    this.#missing[unit]! -= tensors.size
    while (this.#missing[this.#complete] === 0) this.#complete++
    if (this.#complete === this.#init.units.count) this.#done.resolve(this.#results)
    else this.#admit()
    return true
  }

  #wants(unit: number): readonly string[] {
    const { parts, carries, units } = this.#init
    return originWants(parts, carries, unit === units.count - 1)
  }

  #admit(): void {
    const { parts, carries, units, feed } = this.#init
    const most = Math.min(units.count, this.#complete + parts.length + SPARE_UNITS)
    while (!this.#failed && this.#admitted < most) {
      const unit = this.#admitted++
      const all = units.feeds(unit)
      this.#results[unit] = new Map()
      this.#missing[unit] = this.#wants(unit).length
      for (const [part, names] of originFeeds(parts, carries, unit).entries()) {
        feed(part, unit, new Map(names.map((name) => [name, all.get(name)!])))
      }
    }
  }
}
