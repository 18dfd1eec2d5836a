/** Stages of a session that were replaced and nobody was told of yet, and whether what computes now gives the same bits. */
import type { RouteSegment } from './route.ts'
import type { Rerouted, SessionNeeds } from './session.ts'
import type { LostSegment } from './trouble.ts'

export class Replaced {
  /** Known from when peers joined the session, since the lost cannot be asked. */
  readonly #kernels = new Map<string, string>()
  #lost: LostSegment[] = []

  joined(peers: Iterable<string>, kernel: (peer: string) => string): void {
    for (const peer of peers) if (!this.#kernels.has(peer)) this.#kernels.set(peer, kernel(peer))
  }

  add(lost: readonly LostSegment[]): void {
    this.#lost.push(...lost)
  }

  /** What there is to tell, counted once. @param rows that each replacement was fed, unless it was beforehand */
  take(
    route: readonly RouteSegment[],
    rows: number,
    needs: Pick<SessionNeeds, 'count'>,
  ): Pick<Rerouted, 'lost' | 'replayedRows' | 'exact'> {
    const replaced = this.#lost
    this.#lost = []
    const replayedRows = replaced.filter(({ by }) => by === undefined).length * rows
    const exact = replaced.every(({ segment }) => this.#isSame(route, segment))
    needs.count('failovers', replaced.length)
    needs.count('replayed_rows', replayedRows)
    if (!exact) needs.count('failovers_inexact')
    return { lost: [...new Set(replaced.map(({ segment }) => segment.peer))], replayedRows, exact }
  }

  /** Whoever computes the blocks of `before` on this route has its kernels. */
  #isSame(route: readonly RouteSegment[], before: RouteSegment): boolean {
    const now = route.filter(({ from, to }) => from < before.to && to > before.from)
    return now.every(({ peer }) => this.#kernels.get(peer) === this.#kernels.get(before.peer))
  }
}
