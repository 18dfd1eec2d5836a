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

/** The usual way from one peer to another, by their places in the plan of the run. */
export type Between = (from: number, to: number) => Way

export interface Weather {
  readonly chance: Chance
  way(from: string, to: string): Way
  isCut(from: string, to: string): boolean
}

export class Skies implements Weather {
  readonly chance: Chance
  readonly #changed: () => void
  readonly #between: Between | undefined
  readonly #places = new Map<string, number>()
  readonly #access = new Map<string, Access>()
  readonly #storms = new Map<string, Partial<Way>>()
  readonly #cuts = new Map<object, (from: string, to: string) => boolean>()

  /** @param between default: the accesses of both */
  constructor(chance: Chance, changed: () => void, between?: Between) {
    this.chance = chance
    this.#changed = changed
    this.#between = between
  }

  /** @param place among the peers of the run */
  settle(peer: string, access: Access, place?: number): void {
    this.#access.set(peer, access)
    if (place !== undefined) this.#places.set(peer, place)
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
    const [here, there] = [this.#places.get(from), this.#places.get(to)]
    const isGiven = this.#between !== undefined && here !== undefined && there !== undefined
    const usual = isGiven ? halfOf(this.#between(here, there)) : undefined
    const one = this.#of(from, usual)
    const other = this.#of(to, usual)
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

  /** @param given its half of this way, where that is no matter of its access */
  #of(peer: string, given?: Access): Access {
    const usual = given ?? this.#access.get(peer) ?? { latency: 1, jitter: 0, rate: 10_000, loss: 0 }
    const storm = this.#storms.get(peer)
    return storm === undefined ? usual : { ...usual, ...storm }
  }
}

/** Faults make the access of a peer worse: each has half of what lies between it and another. */
function halfOf({ latency, jitter, rate, loss }: Way): Access {
  return { latency: latency / 2, jitter: jitter / 2, rate, loss: loss / 2 }
}
