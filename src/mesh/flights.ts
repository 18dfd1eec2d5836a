/** Questions under way: who is asked for what, since when, and what is worth asking of a second holder. */
import { CHUNK_BYTES } from '../store/index.ts'
import type { Task } from './fetch-queue.ts'
import { MAX_RESCUES, RESCUE_FACTOR, RESCUE_FIRST_MS } from './limits.ts'
import type { Pace } from './pace.ts'

export interface Ask {
  readonly peer: string
  readonly task: Task
  readonly since: number
  /** Somebody else was faster. */
  readonly dropped: AbortController
}

export class Flights {
  readonly #flights = new Map<string, Ask[]>()
  #rescues = 0

  begin(task: Task, peer: string, now: number): Ask {
    const ask = { peer, task, since: now, dropped: new AbortController() }
    const key = keyOf(task)
    this.#flights.set(key, [...(this.#flights.get(key) ?? []), ask])
    return ask
  }

  /** It has arrived: the others that are asked for it need not send it any more. */
  succeeded({ task }: Ask): void {
    const asks = this.#flights.get(keyOf(task)) ?? []
    this.#flights.delete(keyOf(task))
    for (const { dropped } of asks) dropped.abort()
  }

  /** True when nobody else is asked for it and it has not arrived: somebody has to take it. */
  failed(ask: Ask): boolean {
    const key = keyOf(ask.task)
    const asks = this.#flights.get(key)
    if (asks === undefined) return false
    const others = asks.filter((other) => other !== ask)
    if (others.length > 0) this.#flights.set(key, others)
    else this.#flights.delete(key)
    return others.length === 0
  }

  /**
   * What an idle holder should be asked for as well: something that it would bring much sooner than the one that was
   * asked. Bounded: two holders a chunk, MAX_RESCUES a fetch.
   */
  rescue(
    idle: string,
    now: number,
    paceOf: (peer: string) => Pace | undefined,
    has: (task: Task) => boolean,
  ): Task | undefined {
    if (this.#rescues >= MAX_RESCUES) return undefined
    const own = paceOf(idle)?.time(CHUNK_BYTES)
    for (const [ask, ...others] of this.#flights.values()) {
      if (ask === undefined || others.length > 0 || ask.peer === idle || !has(ask.task)) continue
      const left = this.#timeLeft(ask, now, paceOf(ask.peer))
      if (left < RESCUE_FACTOR * (own ?? RESCUE_FIRST_MS)) continue
      this.#rescues += 1
      return ask.task
    }
    return undefined
  }

  /** An estimate, in milliseconds; Infinity for one that is long overdue. */
  #timeLeft(ask: Ask, now: number, pace: Pace | undefined): number {
    const waited = now - ask.since
    const before = [...this.#flights.values()]
      .flat()
      .filter(({ peer, since }) => peer === ask.peer && since <= ask.since)
    const expected = pace?.time(before.length * CHUNK_BYTES) ?? RESCUE_FIRST_MS
    return waited > Math.max(RESCUE_FIRST_MS, RESCUE_FACTOR * expected) ? Infinity : Math.max(0, expected - waited)
  }
}

function keyOf(task: Task): string {
  return task.kind === 'open' ? task.blob.address : `${task.blob.address}/${task.index}`
}
