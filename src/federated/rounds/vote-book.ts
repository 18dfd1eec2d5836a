/** For which state each member stands: what it said last and the furthest that it ever said, so that nobody fills the memory. */
import { equalBytes } from '../secagg/bytes.ts'
import type { JobView } from './job-view.ts'
import { votesToFollow } from './take-up.ts'
import type { Vote } from './wire.ts'

interface Entry {
  readonly state: Uint8Array
  readonly done: number
  readonly vote: Vote
}

export class VoteBook {
  readonly #last = new Map<string, Entry>()
  /** Who has gone back has held it all the same: others may come with it. */
  readonly #furthest = new Map<string, Entry>()

  /** @param done sums that made the state */
  add(state: Uint8Array, done: number, vote: Vote): void {
    const entry = { state, done, vote }
    this.#last.set(vote.peer, entry)
    if (done >= (this.#furthest.get(vote.peer)?.done ?? 0)) this.#furthest.set(vote.peer, entry)
  }

  /** How many stand before a state of so many sums, as they said last. */
  behind(done: number): number {
    return [...this.#last.values()].filter((one) => one.done < done).length
  }

  /** Of those who stand for a state now. */
  for(state: Uint8Array): Vote[] {
    return [...this.#last.values()].flatMap((one) => (equalBytes(one.state, state) ? [one.vote] : []))
  }

  /** Of those too who have gone back from it: they do not count towards the t that a state needs to stand. */
  heldBy(state: Uint8Array): Vote[] {
    const found = new Map<string, Vote>()
    for (const { state: other, vote } of [...this.#last.values(), ...this.#furthest.values()])
      if (equalBytes(other, state)) found.set(vote.peer, vote)
    return [...found.values()]
  }

  /** As many as it takes for others to follow, and never t. */
  toFollow(state: Uint8Array, job: JobView): Vote[] {
    return this.heldBy(state).slice(0, Math.min(votesToFollow(job), job.math.t - 1))
  }

  isFollowed(state: Uint8Array, job: JobView): boolean {
    return this.toFollow(state, job).length >= votesToFollow(job)
  }
}
