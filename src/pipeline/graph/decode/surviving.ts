/**
 * A generation over the parts of a decoder export that outlives its peers. Its caches are lost with a part, so it begins
 * again where its parts are then: with the prompt in the same pieces, and the tokens that were given, row by row, which gives
 * the same caches. What the head chooses meanwhile is held against what was given, and given to nobody again.
 */
import type { Arrival, OriginSession, Rerouted } from '../../origin/session.ts'

/** Tokens that a session is fed instead of what its head chooses, and that nobody is given. */
export interface Replay {
  readonly tokens: readonly number[]
  /** The head would have chosen another. */
  readonly differs: () => unknown
}

export interface SurvivingNeeds {
  /** Where its parts are now. @throws what opening throws */
  open(replay: Replay | undefined): Promise<OriginSession>
  /**
   * Gives the parts of whoever was lost to others.
   * @returns the peers that were lost; none: it is there, and has lost a process. @throws the error when it is no loss
   */
  relocate(error: unknown): readonly string[]
  count(name: 'failovers' | 'failovers_inexact' | 'replayed_rows', by?: number): void
}

/** @throws what opening throws */
export async function openSurviving(needs: SurvivingNeeds): Promise<OriginSession> {
  const session = new SurvivingDecoding(needs)
  await session.open()
  return session
}

interface Untold {
  readonly lost: Set<string>
  rows: number
  exact: boolean
}

class SurvivingDecoding implements OriginSession {
  readonly #needs: SurvivingNeeds
  #inner!: OriginSession
  readonly #sent: { readonly ids: readonly number[]; readonly position: number; readonly wantToken: boolean }[] = []
  readonly #tokens: number[] = []
  #takenTo = 0
  #attempt = 0
  #isClosed = false
  /** A loss that is made good and not told of yet. */
  #untold: Untold | undefined
  #next: Arrival | undefined

  constructor(needs: SurvivingNeeds) {
    this.#needs = needs
  }

  get hops(): OriginSession['hops'] {
    return this.#inner.hops
  }

  async open(): Promise<void> {
    for (;;) {
      try {
        this.#inner = await this.#needs.open(undefined)
        return
      } catch (error) {
        this.#needs.count('failovers', this.#needs.relocate(error).length)
      }
    }
  }

  async send(ids: readonly number[], position: number, wantToken: boolean): Promise<void> {
    this.#sent.push({ ids, position, wantToken })
    await this.#inner.send(ids, position, wantToken)
  }

  async take(): Promise<Arrival> {
    const next = this.#next ?? (await this.#arrival())
    this.#next = undefined
    if (this.#untold === undefined) return this.#given(next)
    this.#next = next
    return { rerouted: this.#tell(this.#untold) }
  }

  close(): void {
    this.#isClosed = true
    this.#inner.close()
  }

  async #arrival(): Promise<Arrival> {
    for (;;) {
      try {
        const arrival = await this.#inner.take()
        if (!('takenTo' in arrival) || arrival.takenTo > this.#takenTo) return arrival
      } catch (error) {
        await this.#recover(error)
      }
    }
  }

  /** @throws the error when it is no loss, or there were too many */
  async #recover(error: unknown): Promise<void> {
    for (let cause = error; ;) {
      if (this.#isClosed) throw cause
      const lost = this.#needs.relocate(cause)
      this.#needs.count('failovers', Math.max(1, lost.length))
      const untold = (this.#untold ??= { lost: new Set(), rows: 0, exact: true })
      for (const peer of lost) untold.lost.add(peer)
      try {
        await this.#beginAgain(untold)
        return
      } catch (reason) {
        cause = reason
      }
    }
  }

  async #beginAgain(untold: Untold): Promise<void> {
    this.#inner.close()
    this.#inner = await this.#needs.open({ tokens: [...this.#tokens], differs: () => (untold.exact = false) })
    for (const { ids, position, wantToken } of this.#sent) await this.#inner.send(ids, position, wantToken)
    untold.rows = this.#sent.reduce((sum, { ids }) => sum + ids.length, this.#tokens.length)
  }

  #given(arrival: Arrival): Arrival {
    if ('takenTo' in arrival) this.#takenTo = arrival.takenTo
    if ('token' in arrival) this.#tokens.push(arrival.token.id)
    return arrival
  }

  #tell({ lost, rows, exact }: Untold): Rerouted {
    this.#untold = undefined
    this.#needs.count('replayed_rows', rows)
    if (!exact) this.#needs.count('failovers_inexact')
    return { attempt: ++this.#attempt, lost: [...lost], route: this.hops, replayedRows: rows, exact }
  }
}
