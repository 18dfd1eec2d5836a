/** Peers whose heartbeats are watched while they are on a route. */
import type { SessionNeeds } from './session.ts'

export class Watches {
  readonly #needs: Pick<SessionNeeds, 'watch' | 'count'>
  #ends: ReadonlyMap<string, () => void> = new Map()

  constructor(needs: Pick<SessionNeeds, 'watch' | 'count'>) {
    this.#needs = needs
  }

  /** These from now on, and no others. */
  set(peers: Iterable<string>): void {
    const before = this.#ends
    this.#ends = new Map([...peers].map((peer) => [peer, before.get(peer) ?? this.#needs.watch(peer)]))
    for (const [peer, end] of before) if (!this.#ends.has(peer)) end()
  }

  /** All are asked whether they are there: who begins to watch does so at once. */
  doubt(): void {
    this.#needs.count('routes_doubted')
    const before = [...this.#ends.values()]
    this.#ends = new Map([...this.#ends.keys()].map((peer) => [peer, this.#needs.watch(peer)]))
    for (const end of before) end()
  }
}
