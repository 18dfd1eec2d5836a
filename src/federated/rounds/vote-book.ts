/** For which state each member stands: one at a time, so that nobody fills the memory with states. */
import type { Vote } from './wire.ts'

export class VoteBook {
  readonly #votes = new Map<string, { readonly state: string; readonly vote: Vote }>()

  add(state: Uint8Array, vote: Vote): void {
    this.#votes.set(vote.peer, { state: hex(state), vote })
  }

  for(state: Uint8Array): Vote[] {
    const key = hex(state)
    return [...this.#votes.values()].flatMap((one) => (one.state === key ? [one.vote] : []))
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
