/** The hops of a peer, by what frames say of them. */
import type { Frame } from '../../net/index.ts'
import type { Hop } from './hop.ts'

export class HopTable {
  readonly #hops = new Map<string, Hop>()
  readonly #byLocal = new Map<number, Hop>()

  get size(): number {
    return this.#hops.size
  }

  /** All of them; those that are deleted meanwhile are left out. */
  [Symbol.iterator](): Iterator<Hop> {
    return this.#hops.values()
  }

  ofOrigin(peer: string): Hop[] {
    return [...this.#hops.values()].filter((hop) => hop.origin.peer === peer)
  }

  add(hop: Hop): void {
    this.#hops.set(hopKey(hop.origin.peer, hop.request, hop.from), hop)
    this.#byLocal.set(hop.local, hop)
  }

  /** False when it was gone already. */
  delete(hop: Hop): boolean {
    const key = hopKey(hop.origin.peer, hop.request, hop.from)
    if (this.#hops.get(key) !== hop) return false
    this.#byLocal.delete(hop.local)
    return this.#hops.delete(key)
  }

  /** A hop is known under another number from now on. */
  rename(hop: Hop, request: number): void {
    this.delete(hop)
    hop.request = request
    this.add(hop)
  }

  find(origin: string, request: number, from: number): Hop | undefined {
    return this.#hops.get(hopKey(origin, request, from))
  }

  /** Whether another origin has a hop of this number here: rows between hops do not say of which origin they are. */
  isForeign(request: number, origin: string): boolean {
    return this.#hops.values().some((hop) => hop.request === request && hop.origin.peer !== origin)
  }

  byLocal(local: number): Hop | undefined {
    return this.#byLocal.get(local)
  }

  /** That of an origin's frame, in its attempt. */
  ofFrame(origin: string, message: Frame): Hop | undefined {
    return this.#hops
      .values()
      .find(
        (hop) =>
          hop.request === message.request &&
          hop.place === message.hop &&
          hop.attempt === message.attempt &&
          hop.origin.peer === origin,
      )
  }

  /** Where rows from a neighbour go, in this attempt; `fenced`: they are of an attempt that is over. */
  ofRows(from: string, message: Frame): Hop | 'fenced' | undefined {
    let fenced = false
    for (const hop of this.#hops.values()) {
      if (hop.request !== message.request) continue
      if (message.attempt < hop.attempt) fenced = true
      else if (message.attempt === hop.attempt && hop.place === message.hop && hop.before === from) return hop
    }
    return fenced ? 'fenced' : undefined
  }
}

function hopKey(origin: string, request: number, from: number): string {
  return `${origin}/${request}/${from}`
}
