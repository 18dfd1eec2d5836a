/**
 * Answers that wait for room in the stages of their route. Whoever finds none waits in line, as long as answers of this peer run there
 * whose end makes room, and no longer than people wait; beyond that it is told when to come again.
 */
import type { Clock } from '../util/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import type { Priority } from '../pipeline/index.ts'
import { NoRoomYetError } from './room-errors.ts'
import { Line } from './room-line.ts'
import type { Place } from './room-line.ts'

/** Whose turn it is first. What nobody waits for comes last. */
export type Rank = Priority | 'batch'
const RANKS: Readonly<Record<Rank, number>> = { high: 0, normal: 1, low: 2, batch: 3 }

/** Routes of which it is known how long answers over them take. */
const MAX_LINES = 32

export interface RoomQueueNeeds {
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'count'>
  /** Whether a refusal is one for want of room. */
  isFull(error: unknown): boolean
}

export interface Wanted {
  readonly model: string
  readonly rank: Rank
  readonly signal: AbortSignal
}

/** What there was no room for comes back as its error. */
type Tried<Session> = { readonly session: Session } | { readonly error: unknown }

/** Opens a session; what it is given is called when that has ended. */
type Attempt<Session> = (ended: () => void) => Promise<Session>

export class RoomQueue {
  readonly #needs: RoomQueueNeeds
  readonly #lines = new Map<string, Line>()

  constructor(needs: RoomQueueNeeds) {
    this.#needs = needs
  }

  /**
   * @param route answers over one route have the same room
   * @throws NoRoomYetError; what the attempt refuses with, where nothing of this peer runs there
   */
  async open<Session>(route: string, wanted: Wanted, attempt: Attempt<Session>): Promise<Session> {
    const line = this.#line(route)
    const rank = RANKS[wanted.rank]
    const tried: Tried<Session> = line.isBehind(rank) ? { error: undefined } : await this.#try(line, attempt)
    if ('session' in tried) return tried.session
    const place = line.enter(rank)
    if (place === undefined) throw this.#refusal(line, wanted, tried)
    return this.#wait(line, place, wanted, attempt)
  }

  #line(route: string): Line {
    const known = this.#lines.get(route)
    if (known !== undefined) return known
    // What is known of a route outlasts its answers, but there may be any number of routes.
    if (this.#lines.size >= MAX_LINES)
      for (const [key, { isUnused }] of this.#lines) if (isUnused) this.#lines.delete(key)
    const line = new Line(this.#needs.clock)
    this.#lines.set(route, line)
    return line
  }

  async #wait<Session>(line: Line, place: Place, wanted: Wanted, attempt: Attempt<Session>): Promise<Session> {
    this.#needs.telemetry.count('requests_queued')
    let tried: { readonly error?: unknown } = {}
    try {
      while (await place.turn(wanted.signal)) {
        const now = await this.#try(line, attempt, true)
        if ('session' in now) return now.session
        tried = now
      }
      throw this.#refusal(line, wanted, tried)
    } finally {
      place.leave()
    }
  }

  /**
   * @param hasWaited those that ran when it came may just have ended, and their room may not be there yet
   * @throws what is none of room; that too, where nothing of this peer ends
   */
  async #try<Session>(line: Line, attempt: Attempt<Session>, hasWaited = false): Promise<Tried<Session>> {
    let end = (): void => undefined
    let isOver = false
    line.opening++
    try {
      const session = await attempt(() => {
        isOver = true
        end()
      })
      if (!isOver) end = line.begin()
      return { session }
    } catch (error) {
      // Of those that are being opened one is this.
      const isPointless = !hasWaited && line.running + line.opening <= 1
      if (isPointless || !this.#needs.isFull(error)) throw error
      return { error }
    } finally {
      line.opening--
    }
  }

  #refusal(line: Line, { model }: Wanted, { error }: { readonly error?: unknown }): NoRoomYetError {
    this.#needs.telemetry.count('requests_refused')
    return new NoRoomYetError(model, line.refusal(), error)
  }
}
