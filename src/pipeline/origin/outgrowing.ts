/**
 * A text that may outgrow the first context of its model (LongRoPE): beyond it all rows are rotated by other factors, so
 * what stages have of it is of no use. It is given to a session of its own then, from its first row on, as whoever
 * computes without a cache would; up to there it has the bits of a text that stays short.
 */
import type { Clock } from '../../util/index.ts'
import { prefill } from './prefill.ts'
import type { Arrival, OriginSession, SessionRequest } from './session.ts'

export interface OutgrowingNeeds {
  readonly clock: Clock
  /** Positions for which the first factors hold. */
  readonly first: number
  /** Rows of a prompt that travel together. */
  readonly rows: number
  open(request: SessionRequest): Promise<OriginSession>
  /** A text begins anew. */
  outgrown(): void
}

/** Whether a session of this request would cross the end of the first context. */
export function outgrows({ prompt, positions }: SessionRequest, first: number): boolean {
  return prompt.length <= first && positions > first
}

/** @throws what `open` does */
export async function openOutgrowing(needs: OutgrowingNeeds, asked: SessionRequest): Promise<OriginSession> {
  // Both sessions share one deadline.
  const request = { since: needs.clock.now(), ...asked }
  // What follows the last row of the first context is chosen there still.
  const limit = needs.first - request.prompt.length + 1
  const inner = await needs.open({ ...request, positions: needs.first, follow: { ...request.follow, limit } })
  return new OutgrowingSession(needs, request, inner, limit)
}

class OutgrowingSession implements OriginSession {
  readonly #needs: OutgrowingNeeds
  readonly #request: SessionRequest
  #inner: OriginSession
  /** Tokens that the first session has still to give. */
  #left: number
  readonly #chosen: number[] = []
  /** News of the prompt's second way through the stages. */
  readonly #news: Arrival[] = []
  readonly reused?: NonNullable<OriginSession['reused']>
  #closed = false
  /** Of the first session, which come before those of the second. */
  #attempts = 0
  #attempt = 0

  constructor(needs: OutgrowingNeeds, request: SessionRequest, inner: OriginSession, limit: number) {
    this.#needs = needs
    this.#request = request
    this.#inner = inner
    this.#left = limit
    if (inner.reused !== undefined) this.reused = inner.reused
  }

  get hops(): OriginSession['hops'] {
    return this.#inner.hops
  }

  async take(): Promise<Arrival> {
    if (this.#left === 0 && this.#news.length === 0) await this.#begin()
    const arrival = this.#numbered(this.#news.shift() ?? (await this.#inner.take()))
    if ('token' in arrival && this.#left > 0) {
      this.#chosen.push(arrival.token.id)
      this.#left--
    }
    return arrival
  }

  send(ids: readonly number[], position: number, wantToken: boolean): Promise<void> {
    return this.#inner.send(ids, position, wantToken)
  }

  settle(): Promise<readonly Arrival[]> {
    return this.#inner.settle?.() ?? Promise.resolve([])
  }

  leaving(hop: number): void {
    this.#inner.leaving?.(hop)
  }

  close(): void {
    this.#closed = true
    this.#inner.close()
  }

  /** Attempts are counted over both sessions: each has a number of its own for whoever is told of it. */
  #numbered(arrival: Arrival): Arrival {
    if (!('rerouted' in arrival)) return arrival
    this.#attempt = this.#attempts + arrival.rerouted.attempt
    return { rerouted: { ...arrival.rerouted, attempt: this.#attempt } }
  }

  /** All that there is of the text goes through the stages again, for what may be as long as the request allows. */
  async #begin(): Promise<void> {
    this.#left = -1
    this.#news.push(...(await this.settle()))
    this.#attempts = this.#attempt + 1
    const at = this.#inner.hops
    this.#inner.close()
    const { prompt, follow, sampler } = this.#request
    const all = [...prompt, ...this.#chosen]
    const limit = follow.limit - this.#chosen.length
    const { forced = 0 } = follow
    this.#needs.outgrown()
    this.#inner = await this.#needs.open({
      ...this.#request,
      at,
      prompt: all,
      sampler: { ...sampler, generated: this.#chosen.slice(forced) },
      follow: { ...follow, start: all.length, limit, forced: Math.max(0, forced - this.#chosen.length) },
    })
    if (this.#closed) this.#inner.close()
    for await (const arrival of prefill(this.#inner, all, { most: this.#needs.rows }))
      if (!('takenTo' in arrival)) this.#news.push(arrival)
  }
}
