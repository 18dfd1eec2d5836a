/**
 * What has gone wrong with members since the last model. A message that an aggregator passes on unseen can spoil a round
 * for all who get it; who is named by so many that a round cannot end without them is left out until the next model.
 */
export interface Complaint {
  /** Whose keys or shares could not be used. */
  readonly about: string
  readonly by: string
  /** Members that its sum can do without: so many may lie. */
  readonly most: number
}

export class Complaints {
  #state = new Uint8Array()
  /** By whom a member is named: its keys or shares could not be used. */
  #named = new Map<string, { readonly by: Set<string>; readonly most: number }>()
  #odd = new Set<string>()

  /** @param state hash of the one that the round began from */
  add(state: Uint8Array, { about, by, most }: Complaint): void {
    this.#begin(state)
    const named = this.#named.get(about) ?? { by: new Set(), most }
    named.by.add(by)
    this.#named.set(about, named)
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
    const named = this.#named.get(peer)
    return this.#isOf(state) && named !== undefined && named.by.size > named.most
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
