/** Stages of a session that were replaced and nobody was told of yet, and whether what computes now gives the same bits. */
import type { RouteHop } from '../types.ts'
import type { RouteSegment } from './route.ts'
import type { SessionInit, SessionNeeds } from './session.ts'
import type { SessionText } from './session-text.ts'
import type { LostSegment } from './trouble.ts'

/** As the session is when it is told of. */
interface Now {
  readonly attempt: number
  readonly hops: readonly RouteHop[]
}

export class Replaced {
  readonly #needs: Pick<SessionNeeds, 'count'>
  readonly #at: readonly RouteSegment[] | undefined
  /** All that there is of a text which begins anew goes through its stages again. */
  readonly #anewRows: number
  readonly #kernel: (peer: string) => string
  /** Known from when peers joined the session, since the lost cannot be asked. */
  readonly #kernels = new Map<string, string>()
  #lost: Pick<LostSegment, 'segment' | 'by'>[] = []

  constructor(needs: Pick<SessionNeeds, 'count'>, { at, prompt, failover }: SessionInit) {
    this.#needs = needs
    this.#at = at
    this.#anewRows = at === undefined ? 0 : prompt.length
    this.#kernel = (peer) => failover.kernel(peer)
    this.joined(at?.map(({ peer }) => peer) ?? [])
  }

  joined(peers: Iterable<string>): void {
    for (const peer of peers) if (!this.#kernels.has(peer)) this.#kernels.set(peer, this.#kernel(peer))
  }

  add(lost: readonly LostSegment[]): void {
    this.#lost.push(...lost)
  }

  /** A text that began anew is open: stages of it that are elsewhere than before were replaced, for whatever reason. */
  begun(text: SessionText, now: Now): void {
    const moved = this.#at?.filter((before) => now.hops.some((hop) => meets(hop, before) && hop.peer !== before.peer))
    if (moved === undefined || moved.length === 0) return
    this.#lost = moved.map((segment) => ({ segment }))
    this.tell(text, now, this.#anewRows, true)
  }

  /**
   * Counts what there is to tell, and tells it of a text that has begun.
   * @param rows that each replacement was fed, unless it was beforehand
   */
  tell(text: SessionText, { attempt, hops }: Now, rows: number, isBegun: boolean): void {
    // Of a text that begins anew it is told when it is open.
    if (!isBegun && this.#at !== undefined) return
    const replaced = this.#lost
    this.#lost = []
    const replayedRows = replaced.filter(({ by }) => by === undefined).length * rows
    const exact = replaced.every(({ segment }) => this.#isSame(hops, segment))
    this.#needs.count('failovers', replaced.length)
    this.#needs.count('replayed_rows', replayedRows)
    if (!exact) this.#needs.count('failovers_inexact')
    const lost = [...new Set(replaced.map(({ segment }) => segment.peer))]
    if (isBegun) text.tell({ rerouted: { attempt, route: hops, lost, replayedRows, exact } })
  }

  /** Whoever computes the blocks of `before` on this route has its kernels. */
  #isSame(route: readonly RouteSegment[], before: RouteSegment): boolean {
    const now = route.filter((segment) => meets(segment, before))
    return now.every(({ peer }) => this.#kernels.get(peer) === this.#kernels.get(before.peer))
  }
}

function meets(one: RouteSegment, other: RouteSegment): boolean {
  return one.from < other.to && one.to > other.from
}
