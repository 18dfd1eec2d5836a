/**
 * A second way for heart-beats, over a connection of its own. On a line that loses packets TCP is silent while it sends
 * again, each connection for itself: that two are for as long as a watched peer may be comes to less than one beat in a million.
 */
import type { Clock } from '../util/index.ts'
import { FIRST_RETRY_MS, FIRST_WAY_WAIT_MS, LAST_RETRY_MS, WATCHED_WAIT_MS } from './constants.ts'
import { createPinger } from './heartbeat.ts'
import type { Pinger } from './heartbeat.ts'
import type { Channel } from './types.ts'

/** Beats for which it was not wanted before it is closed: watches of one answer after the other follow each other closely. */
const UNWANTED_BEATS = 2

export interface SecondWayNeeds {
  readonly clock: Clock
  /** Undefined where there is none to be had now. Never throws. */
  open(): Promise<Channel | undefined>
}

export class SecondWay {
  readonly #needs: SecondWayNeeds
  #pinger: Pinger | undefined
  #opening = false
  #unwanted = 0
  #ended = false
  /** Of the one that is open: whether it has answered, and when those pings were sent that have no answer; answers come in order. */
  #heard = false
  #unanswered: number[] = []
  /** Tries in a row of which nothing came, and when the next may be. */
  #failures = 0
  #notBefore = -Infinity

  constructor(needs: SecondWayNeeds) {
    this.#needs = needs
  }

  /** Asked before each beat. @returns undefined while there is none; one that is wanted is being opened */
  of(isWanted: boolean): Pinger | undefined {
    this.#unwanted = isWanted ? 0 : this.#unwanted + 1
    // As the first: it is lost alone, and another one may not be.
    if (this.#silentMs > FIRST_WAY_WAIT_MS) this.#lost()
    const mayOpen = this.#pinger === undefined && !this.#opening && this.#needs.clock.now() >= this.#notBefore
    if (isWanted && mayOpen) void this.#open()
    if (this.#unwanted >= UNWANTED_BEATS) this.#close()
    return isWanted ? this.#pinger : undefined
  }

  /** Whether it can be relied on: it has answered, and is not silent for longer than a watched peer may be. */
  get answers(): boolean {
    return this.#heard && this.#silentMs <= WATCHED_WAIT_MS
  }

  end(): void {
    this.#ended = true
    this.#close()
  }

  get #silentMs(): number {
    const [oldest] = this.#unanswered
    return oldest === undefined ? 0 : this.#needs.clock.now() - oldest
  }

  async #open(): Promise<void> {
    this.#opening = true
    const channel = await this.#needs.open()
    this.#opening = false
    if (channel === undefined) return this.#failed()
    const pinger = this.#noted(createPinger(this.#needs.clock, channel))
    if (this.#ended) return pinger.close()
    this.#pinger = pinger
    // The next beat can rely on it then.
    pinger.ping(0).catch(() => undefined)
    void channel.closed.then(() => {
      if (this.#pinger === pinger) this.#lost()
    })
  }

  /** What it answers is noted. */
  #noted(pinger: Pinger): Pinger {
    const noted: Pinger = {
      close: () => pinger.close(),
      ping: async (bytes, signal) => {
        this.#unanswered.push(this.#needs.clock.now())
        const rtt = await pinger.ping(bytes, signal)
        if (this.#pinger !== noted) return rtt
        this.#unanswered.shift()
        this.#heard = true
        this.#failures = 0
        return rtt
      },
    }
    return noted
  }

  /** One that has never answered was none. */
  #lost(): void {
    if (!this.#heard) this.#failed()
    this.#close()
  }

  /** Each try costs a question over the first way, and where it is filtered a wait of a second and a half. */
  #failed(): void {
    this.#notBefore = this.#needs.clock.now() + Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures++
  }

  #close(): void {
    this.#pinger?.close()
    this.#pinger = undefined
    this.#heard = false
    this.#unanswered = []
  }
}
