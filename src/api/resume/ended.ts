/** Answers that have ended, for clients that lost the last of them; and the ids of those that are no longer kept. */
import type { CancelTimer, Clock } from '../../util/index.ts'
import type { ApiLimits } from '../limits.ts'

export interface EndedNeeds {
  readonly clock: Clock
  readonly limits: Pick<ApiLimits, 'endedStreams' | 'tailMs'>
  /** All answers together keep more than they may. */
  isFull(): boolean
  /** It is no longer to be found. */
  drop(id: string): void
}

export interface EndedAnswer {
  readonly id: string
  readonly owner: string
  /** Frees what it holds. */
  forget(): void
  /** Also when the API closes; else its request is for the next start. */
  readonly forgetAtClose: boolean
}

/** Ids, so that a client hears that it is late, not that it is wrong. */
const MAX_EXPIRED = 1_024

export class Ended {
  readonly #needs: EndedNeeds
  readonly #kept = new Map<string, { readonly answer: EndedAnswer; readonly cancel: CancelTimer }>()
  readonly #expired = new Map<string, string>()

  constructor(needs: EndedNeeds) {
    this.#needs = needs
  }

  keep(answer: EndedAnswer, milliseconds: number): void {
    const { clock, limits } = this.#needs
    const cancel = clock.after(milliseconds, () => this.#end(answer.id))
    this.#kept.set(answer.id, { answer, cancel })
    for (const id of this.#kept.keys()) {
      if (this.#kept.size <= limits.endedStreams && !this.#needs.isFull()) return
      this.#end(id)
    }
  }

  expire(id: string, owner: string): void {
    this.#expired.set(id, owner)
    for (const oldest of this.#expired.keys()) {
      if (this.#expired.size <= MAX_EXPIRED) return
      this.#expired.delete(oldest)
    }
  }

  hasExpired(id: string, owner: string): boolean {
    return this.#expired.get(id) === owner
  }

  close(): void {
    for (const { answer, cancel } of this.#kept.values()) {
      cancel()
      this.#needs.drop(answer.id)
      if (answer.forgetAtClose) answer.forget()
    }
    this.#kept.clear()
  }

  #end(id: string): void {
    const found = this.#kept.get(id)
    if (found === undefined) return
    this.#kept.delete(id)
    found.cancel()
    this.#needs.drop(id)
    this.expire(id, found.answer.owner)
    found.answer.forget()
  }
}
