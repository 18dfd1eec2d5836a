/**
 * What has gone wrong with members since the last model. A message that an aggregator passes on unseen can spoil a round
 * for all who get it; who is named by so many that a round cannot end without them is left out until the next model.
 */
import type { JobView } from './job-view.ts'

export class Complaints {
  readonly #job: JobView
  #state = new Uint8Array()
  /** By whom a member is named: its keys or shares could not be used. */
  #named = new Map<string, Set<string>>()
  #odd = new Set<string>()

  constructor(job: JobView) {
    this.#job = job
  }

  /** @param state hash of the one that the round began from */
  add(state: Uint8Array, about: string, by: string): void {
    this.#begin(state)
    const set = this.#named.get(about) ?? new Set()
    this.#named.set(about, set.add(by))
  }

  /** It refused, or said something that cannot be: it may come again, and nobody waits for it. */
  doubt(state: Uint8Array, peer: string): void {
    this.#begin(state)
    this.#odd.add(peer)
  }

  isDoubtful(state: Uint8Array, peer: string): boolean {
    return this.#isOf(state) && (this.#odd.has(peer) || this.isLeftOut(state, peer))
  }

  /** So many that one at least is honest, if fewer than n - t + 1 are not. */
  isLeftOut(state: Uint8Array, peer: string): boolean {
    const { members, math } = this.#job
    return this.#isOf(state) && (this.#named.get(peer)?.size ?? 0) > members.length - math.t
  }

  #isOf(state: Uint8Array): boolean {
    return Buffer.compare(this.#state, state) === 0
  }

  #begin(state: Uint8Array): void {
    if (this.#isOf(state)) return
    this.#state = new Uint8Array(state)
    this.#named = new Map()
    this.#odd = new Set()
  }
}
