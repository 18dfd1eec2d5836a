/** Whom a round waits for, as a member that does not aggregate hears it: its person may ask there as well. */
import type { Clock } from '../../util/index.ts'
import type { Waiting } from './coordinator-types.ts'
import { pipeThrough } from './pipe.ts'
import type { Pipe } from './pipe.ts'
import { BODIES } from './wire.ts'

export class ToldWait {
  readonly #clock: Clock
  readonly #peers: readonly string[]
  #waiting: Waiting | undefined

  /** @param peers PeerIds of the job: an aggregator is believed about no others */
  constructor(clock: Clock, peers: readonly string[]) {
    this.#clock = clock
    this.#peers = peers
  }

  /** Since when the same members have been missing; undefined: nobody is, or nobody has said so yet. */
  get waiting(): Waiting | undefined {
    return this.#waiting
  }

  clear(): void {
    this.#waiting = undefined
  }

  /** The same pipe, of which this hears what the aggregator waits for; any other message says that it goes on. */
  heardOn(pipe: Pipe): Pipe {
    return pipeThrough(pipe, {
      next: async (wait) => {
        const message = await pipe.next(wait)
        if (message.kind === 'wait') this.#hear(message.body)
        else this.clear()
        return message
      },
    })
  }

  /** A `wait` that is not one is a sign of life all the same. */
  #hear(body: unknown): void {
    const read = BODIES.wait.safeParse(body)
    const peers = read.success ? this.#peers.filter((peer) => read.data.peers.includes(peer)) : []
    if (!read.success || peers.length === 0) return this.clear()
    const isSame = this.#waiting?.peers.join() === peers.join()
    this.#waiting = { since: isSame ? this.#waiting!.since : this.#clock.now(), peers, why: read.data.why }
  }
}
