/**
 * Graph hosts of one machine as the flow of a request sees them. What one makes stays in its memory, and the others read
 * it there; a block of that memory is given back when all who were to read it have done so, or when the request is over
 * and nothing of it runs any more.
 */
import type { AnyTensor } from '../../../onnx/index.ts'
import type { GraphHost } from '../host/graph-host.ts'
import { isShared } from '../shared/shared-tensor.ts'
import type { FlowValue, FlowValues, SharedTensor } from '../shared/shared-tensor.ts'
import type { Tensors } from '../tensors.ts'
import { ResultMemory } from './result-memory.ts'
import type { StageHost, StageRun } from './stage.ts'

interface Held {
  readonly host: GraphHost
  readonly tensor: SharedTensor
  readers: number
}

export class DirectHosts {
  readonly #hosts: readonly GraphHost[]
  readonly #results: ResultMemory
  readonly #held = new Map<string, Held>()
  #running = 0
  #ended = false

  constructor(hosts: readonly GraphHost[], units: number) {
    this.#hosts = hosts
    this.#results = new ResultMemory(units)
  }

  /** Values that lie in memory of the host that made them. */
  static count(values: FlowValues): number {
    return [...values.values()].filter(isShared).length
  }

  host(part: number): StageHost<FlowValue> {
    const host = this.#hosts[part]!
    return {
      run: async ({ readers, ...run }: StageRun<FlowValue>) => {
        this.#running++
        try {
          const result = await host.runDirect(run)
          const tensor = [...result.outputs.values()].find(isShared)
          if (tensor !== undefined) this.#held.set(keyOf(tensor), { host, tensor, readers })
          return result
        } finally {
          this.#running--
          this.#readAll(run.feeds)
          this.#freeLeft()
        }
      },
      close: (session) => host.close(session),
    }
  }

  /** For this process: values that a part has made. @throws TensorTableError */
  take(part: number, unit: number, values: FlowValues): Tensors {
    const host = this.#hosts[part]!
    const tensors = new Map<string, AnyTensor>()
    for (const [name, value] of values) {
      const isThere = !isShared(value)
      tensors.set(name, isThere ? value : host.read(value, this.#results.place(name, unit, value.row[3])))
    }
    this.#readAll(values)
    return tensors
  }

  end(): void {
    this.#ended = true
    this.#freeLeft()
  }

  /** One reader has read what was sent to it. */
  #readAll(values: FlowValues): void {
    const shared = [...values.values()].filter(isShared)
    for (const key of new Set(shared.map(keyOf))) {
      const held = this.#held.get(key)
      if (held === undefined || --held.readers > 0) continue
      this.#held.delete(key)
      held.host.free(held.tensor)
    }
  }

  #freeLeft(): void {
    if (!this.#ended || this.#running > 0) return
    for (const { host, tensor } of this.#held.values()) host.free(tensor)
    this.#held.clear()
  }
}

/** Of the block. */
function keyOf({ row }: SharedTensor): string {
  return `${row[4]}/${row[5]}`
}
