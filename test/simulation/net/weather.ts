/** What the ways between peers are like now: their usual figures, and what faults have made of them. */
import type { Chance } from '../random.ts'

export interface Way {
  /** Milliseconds from one to the other. */
  readonly latency: number
  /** Milliseconds that it may be more. */
  readonly jitter: number
  /** Bytes a millisecond. */
  readonly rate: number
  /** Share of frames that are sent again. */
  readonly loss: number
}

/** Half of the way: from a peer to the middle of the network, or back. */
export type Access = Way

export interface Weather {
  readonly chance: Chance
  way(from: string, to: string): Way
  isCut(from: string, to: string): boolean
}

export class Skies implements Weather {
  readonly chance: Chance
  readonly #changed: () => void
  readonly #access = new Map<string, Access>()
  readonly #storms = new Map<string, Partial<Way>>()
  readonly #cuts = new Map<object, (from: string, to: string) => boolean>()

  constructor(chance: Chance, changed: () => void) {
    this.chance = chance
    this.#changed = changed
  }

  settle(peer: string, access: Access): void {
    this.#access.set(peer, access)
  }

  /** @returns how to mend it */
  cut(isCut: (from: string, to: string) => boolean): () => void {
    const key = {}
    this.#cuts.set(key, isCut)
    this.#changed()
    return () => {
      this.#cuts.delete(key)
      this.#changed()
    }
  }

  /** A peer's access is worse than usual. @returns how to mend it */
  storm(peer: string, change: Partial<Way>): () => void {
    this.#storms.set(peer, change)
    this.#changed()
    return () => {
      this.#storms.delete(peer)
      this.#changed()
    }
  }

  way(from: string, to: string): Way {
    const one = this.#of(from)
    const other = this.#of(to)
    return {
      latency: one.latency + other.latency,
      jitter: one.jitter + other.jitter,
      rate: Math.min(one.rate, other.rate),
      loss: Math.min(0.9, one.loss + other.loss),
    }
  }

  isCut(from: string, to: string): boolean {
    for (const isCut of this.#cuts.values()) if (isCut(from, to)) return true
    return false
  }

  #of(peer: string): Access {
    const usual = this.#access.get(peer) ?? { latency: 1, jitter: 0, rate: 10_000, loss: 0 }
    const storm = this.#storms.get(peer)
    return storm === undefined ? usual : { ...usual, ...storm }
  }
}
