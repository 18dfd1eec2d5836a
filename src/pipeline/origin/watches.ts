/** Peers whose heartbeats are watched while they are on a route. */

export class Watches {
  readonly #begin: (peer: string) => () => void
  #ends: ReadonlyMap<string, () => void> = new Map()

  /** @param begin has a peer watched; returns how to end that */
  constructor(begin: (peer: string) => () => void) {
    this.#begin = begin
  }

  /** These from now on, and no others. */
  set(peers: Iterable<string>): void {
    const before = this.#ends
    this.#ends = new Map([...peers].map((peer) => [peer, before.get(peer) ?? this.#begin(peer)]))
    for (const [peer, end] of before) if (!this.#ends.has(peer)) end()
  }
}
