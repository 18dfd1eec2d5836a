/** One client that reads an answer, from an event on. */
import type { Exchange } from '../exchange.ts'
import type { StreamWriter } from '../stream-writer.ts'
import type { StreamKind } from './format.ts'

/** Another reader has taken over: this one ends in order, its client has left anyway. */
export const TAKEN_OVER: Error = new Error('another reader has taken over')

export class Reader {
  readonly exchange: Exchange
  /** Number of the event that it gets next. */
  next: number
  readonly #kind: StreamKind
  readonly #headers: ReadonlyMap<string, string>
  #writer: StreamWriter | null = null
  #left: Error | null = null
  #stop: (reason: Error) => void = () => undefined

  constructor(exchange: Exchange, kind: StreamKind, after: number, headers: ReadonlyMap<string, string>) {
    this.exchange = exchange
    this.#kind = kind
    this.next = after + 1
    this.#headers = headers
  }

  /** The head has gone out: the client knows the id of its request. */
  get begun(): boolean {
    return this.#writer !== null
  }

  /** Why it is to stop: its client has gone, or another took over. */
  get left(): Error | null {
    return this.#left
  }

  leave(reason: Error): void {
    this.#left ??= reason
    this.#stop(this.#left)
  }

  /** The promise's own result, or a rejection with the reason to stop. One at a time: it is asked for each event. */
  orLeft<Value>(promise: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#stop = reject
      if (this.#left !== null) reject(this.#left)
      promise.then(resolve, reject)
    })
  }

  /** Sends the head, once. */
  begin(): StreamWriter {
    if (this.#writer === null) {
      for (const [name, value] of this.#headers) this.exchange.header(name, value)
      const late = ROUTE_HEADERS.filter((name) => !this.#headers.has(name))
      this.#writer = this.exchange.stream(this.#kind, late)
    }
    return this.#writer
  }

  /** A header that became known: a trailer where the head has gone out. */
  header(name: string, value: string): void {
    if (this.begun) this.exchange.header(name, value)
  }
}

const ROUTE_HEADERS = ['x-weft-route']
