/** For which state each member stands: one at a time, so that nobody fills the memory with states. */
import type { Vote } from './wire.ts'

export class VoteBook {
  readonly #votes = new Map<string, { readonly state: string; readonly done: number; readonly vote: Vote }>()

  /** @param done sums that made the state */
  add(state: Uint8Array, done: number, vote: Vote): void {
    this.#votes.set(vote.peer, { state: hex(state), done, vote })
  }

  /** How many stand before a state of so many sums, as they said last. */
  behind(done: number): number {
    return [...this.#votes.values()].filter((one) => one.done < done).length
  }

  for(state: Uint8Array): Vote[] {
    const key = hex(state)
    return [...this.#votes.values()].flatMap((one) => (one.state === key ? [one.vote] : []))
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
