/**
 * A second way for heart-beats, over a connection of its own. On a line that loses packets TCP is silent while it sends
 * again, each connection for itself: that two are for as long as a watched peer may be comes to less than one beat in a million.
 */
import type { Clock } from '../util/index.ts'
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

  constructor(needs: SecondWayNeeds) {
    this.#needs = needs
  }

  /** Asked before each beat. @returns undefined while there is none; one that is wanted is being opened */
  of(isWanted: boolean): Pinger | undefined {
    this.#unwanted = isWanted ? 0 : this.#unwanted + 1
    if (isWanted && this.#pinger === undefined && !this.#opening) void this.#open()
    if (this.#unwanted >= UNWANTED_BEATS) this.#close()
    return isWanted ? this.#pinger : undefined
  }

  end(): void {
    this.#ended = true
    this.#close()
  }

  async #open(): Promise<void> {
    this.#opening = true
    const channel = await this.#needs.open()
    this.#opening = false
    if (channel === undefined) return
    const pinger = createPinger(this.#needs.clock, channel)
    if (this.#ended) return pinger.close()
    this.#pinger = pinger
    void channel.closed.then(() => {
      if (this.#pinger === pinger) this.#pinger = undefined
    })
  }

  #close(): void {
    this.#pinger?.close()
    this.#pinger = undefined
  }
}
