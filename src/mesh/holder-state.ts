/** One holder of one fetch: what it has said that it has, how fast it is, whether it is still asked, and why not. */
import { AddressMismatchError, ChunkMismatchError } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { Availability } from './availability.ts'
import { HolderError } from './errors.ts'
import type { BlobWork } from './fetch-queue.ts'
import { answerBytes, decodeHaveMaps, haveBatches } from './have-map.ts'
import type { Holder } from './holder.ts'
import { HAVE_POLL_MS, HOLDER_RETRIES } from './limits.ts'
import type { Pace } from './pace.ts'

const RETRY_MS = 500

export type Blame =
  /** It is asked no more; `lied`: what it sent was wrong. */
  | 'dead'
  | 'lied'
  /** It lacks the thing. */
  | 'lacks'
  /** It is asked again after a pause. */
  | 'pause'
  /** Not its fault: the fetch cannot go on. */
  | 'fatal'

export class HolderState {
  readonly holder: Holder
  readonly pace: Pace
  /** Its maps are known. */
  known = false
  inFlight = 0
  /** Why it is not asked any more. */
  dead: string | undefined
  #failures = 0
  #pausedUntil = 0
  #nextPoll = 0
  #asking = false
  readonly #clock: Clock

  constructor(holder: Holder, pace: Pace, clock: Clock) {
    this.holder = holder
    this.pace = pace
    this.#clock = clock
  }

  get peer(): string {
    return this.holder.peer
  }

  isPaused(): boolean {
    return this.#clock.now() < this.#pausedUntil
  }

  succeeded(): void {
    this.#failures = 0
  }

  /** Should it be asked now what it has? */
  isPollDue(unfinished: readonly BlobWork[], availability: Availability): boolean {
    if (this.dead !== undefined || this.#asking || this.isPaused()) return false
    if (!this.known) return true
    if (this.#clock.now() < this.#nextPoll) return false
    this.#nextPoll = this.#clock.now() + HAVE_POLL_MS
    return unfinished.some(({ address }) => !availability.hasAll(this.peer, address))
  }

  /** Asks what it has of these. @throws HolderError */
  async poll(unfinished: readonly BlobWork[], availability: Availability): Promise<void> {
    this.#asking = true
    try {
      if ((await this.holder.version()) === 1) {
        if (!this.known) availability.assumeAll(this.peer)
        this.#nextPoll = Infinity
      } else {
        const asked = unfinished.filter(({ address }) => !availability.hasAll(this.peer, address))
        for (const blobs of haveBatches(asked)) {
          const answer = await this.holder.ask({ kind: 'have', blobs }, { most: answerBytes(blobs) })
          const maps = decodeHaveMaps(blobs, answer)
          if (maps === undefined) throw new HolderError(this.peer, 'lied', 'its chunk maps are no answer')
          for (const [at, [address]] of blobs.entries()) availability.learn(this.peer, address, maps[at]!)
        }
        this.#nextPoll = this.#clock.now() + HAVE_POLL_MS
      }
      this.known = true
    } finally {
      this.#asking = false
    }
  }

  /** What an error of one of its answers means; it is marked dead or paused here. */
  blame(error: unknown): Blame {
    if (error instanceof ChunkMismatchError || error instanceof AddressMismatchError) {
      this.dead ??= 'it sent bytes that are not those of the address'
      return 'lied'
    }
    if (!(error instanceof HolderError)) return 'fatal'
    if (error.reason === 'missing') return 'lacks'
    if (error.reason === 'lied') {
      this.dead ??= error.why ?? error.message
      return 'lied'
    }
    // All that was under way fails at once when a link is lost: that is one failure.
    if (this.dead !== undefined || this.isPaused()) return 'pause'
    this.#failures += error.reason === 'busy' ? 0 : 1
    if (error.reason === 'stalled' || this.#failures > HOLDER_RETRIES) {
      this.dead = error.why ?? error.message
      return 'dead'
    }
    this.#pausedUntil = this.#clock.now() + RETRY_MS * 2 ** Math.max(0, this.#failures - 1)
    return 'pause'
  }
}
