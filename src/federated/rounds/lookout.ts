/** What a member that waits looks out for: an aggregator that comes earlier in the order, and members that are further. */
import type { Clock } from '../../util/index.ts'
import type { JobView } from './job-view.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'

/** Members that are asked at one look how far they are: all of them in turn. */
const ASKED_A_LOOK = 4

export interface LookoutNeeds {
  readonly clock: Clock
  readonly self: { readonly id: string }
  readonly job: Pick<JobView, 'peers'>
  readonly standing: Pick<MemberState, 'base'>
  /** Certified sums of a peer that answers and takes part in the job; undefined: it does not. */
  readonly progress: (peer: string) => Promise<number | undefined>
  /** Of the membership now. */
  readonly admits: (peer: string) => boolean
  readonly times: { readonly probeMs: number }
}

export class Lookout {
  readonly #needs: LookoutNeeds
  /** Who said that it is further than this member, and how far. */
  #ahead: { readonly peer: string; readonly done: number } | undefined
  /** Who said so and could not show it, with how far this member was then: not believed again until it has moved. */
  readonly #doubted = new Map<string, number>()

  constructor(needs: LookoutNeeds) {
    this.#needs = needs
  }

  /**
   * All members have to come to the same one: whoever waits at a later one leaves as soon as an earlier one is there. And
   * who has slept through rounds, and waits where nobody comes any more (at itself, say), leaves for one that is further.
   */
  async watch(better: readonly string[], pipe: Pipe, leave: () => void): Promise<void> {
    const { clock, times, job, self } = this.#needs
    const others = job.peers.filter((peer) => peer !== self.id && peer !== pipe.remote && !better.includes(peer))
    for (let look = 0; pipe.isOpen; look++) {
      await clock.sleep(times.probeMs)
      for (const peer of better) {
        if ((await this.#progressOf(peer)) !== undefined) return leave()
      }
      for (const peer of inTurn(others, look)) {
        const done = await this.#progressOf(peer)
        if (done === undefined || !this.#isAhead(peer, done)) continue
        this.#ahead = { peer, done }
        return leave()
      }
    }
  }

  /**
   * Visits the one that said it is further, if it still is; nothing when nobody did.
   * @param visit others: for each of them it is left again, so that one that only says so holds nobody
   */
  async follow(visit: (peer: string, others: readonly string[]) => Promise<unknown>): Promise<void> {
    const { admits, job, self, standing } = this.#needs
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead === undefined || !admits(ahead.peer) || !this.#isAhead(ahead.peer, ahead.done)) return
    const { peer } = ahead
    const before = standing.base
    await visit(
      peer,
      job.peers.filter((each) => each !== peer && each !== self.id),
    )
    if (standing.base === before) this.#doubted.set(peer, before)
  }

  /** Nobody is asked over a network whether this member itself is there: where it comes first, all others wait at it. */
  #progressOf(peer: string): Promise<number | undefined> {
    const { self, standing } = this.#needs
    if (peer === self.id) return Promise.resolve(standing.base)
    return this.#needs.progress(peer).catch(() => undefined)
  }

  #isAhead(peer: string, done: number): boolean {
    const { base } = this.#needs.standing
    return done > base && this.#doubted.get(peer) !== base
  }
}

/** A few of all, others at each look. */
function inTurn<T>(all: readonly T[], look: number): readonly T[] {
  if (all.length <= ASKED_A_LOOK) return all
  return Array.from({ length: ASKED_A_LOOK }, (_, at) => all[(look * ASKED_A_LOOK + at) % all.length]!)
}
