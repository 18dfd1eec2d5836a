/** What is on its way to this peer: how far it is, how fast, from whom. The rows of `weft ps`. */
import type { Clock } from '../util/index.ts'
import type { TransferStatus } from './types.ts'

/** The rate is that of the last few seconds: of a longer time it would hide that a line has broken. */
const WINDOW_MS = 3_000

export interface TransferEntry {
  update(done: number, total: number | null, holders: number): void
  end(): void
}

interface Running {
  readonly model: string
  readonly kind: TransferStatus['kind']
  readonly started: number
  readonly marks: { readonly at: number; readonly done: number }[]
  done: number
  total: number | null
  holders: number
}

export class Transfers {
  readonly #clock: Clock
  readonly #running = new Map<string, Running>()
  #next = 1

  constructor(clock: Clock) {
    this.#clock = clock
  }

  begin(model: string, kind: TransferStatus['kind']): TransferEntry {
    const id = `t${this.#next++}`
    const started = this.#clock.now()
    const running: Running = { model, kind, started, marks: [], done: 0, total: null, holders: 0 }
    this.#running.set(id, running)
    return {
      update: (done, total, holders) => {
        Object.assign(running, { done, total, holders })
        const now = this.#clock.now()
        running.marks.push({ at: now, done })
        while (running.marks.length > 2 && now - running.marks[0]!.at > WINDOW_MS) running.marks.shift()
      },
      end: () => void this.#running.delete(id),
    }
  }

  list(): TransferStatus[] {
    const now = this.#clock.now()
    return [...this.#running].map(([transfer, { model, kind, started, marks, done, total, holders }]) => {
      const first = marks[0]
      const elapsed = first === undefined ? 0 : Math.max(now - first.at, 1)
      const rate = first === undefined ? 0 : Math.round(((done - first.done) / elapsed) * 1000)
      return { transfer, model, kind, done, total, rate, holders, age_ms: Math.round(now - started) }
    })
  }
}
