/** The answers that go through this peer, watched for how long their steps take: whole ones, and parts of those under way. */
import type { GenerateEvent, RouteHop } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'
import type { UsedSteps } from './use-meter.ts'

/** Answers with fewer steps say more of their start than of their pace. */
const LEAST_TOKENS = 8
/** A part is so many steps and milliseconds at least: a processor with a quota runs and stands still by turns. */
const PART = 8
const PART_MS = 1_000
/** Share of a part for which it must have been waited: less, and it is the reader who is slow. */
const WAITED = 0.5

export interface PartsWatch {
  readonly clock: Clock
  /** No other answer shares the stages, as far as this peer knows. */
  alone(): boolean
  part(route: readonly RouteHop[], stepMs: number): void
  /** An answer had so many tokens, out of so many steps and rows. */
  used(tokens: number, steps: UsedSteps): void
}

/**
 * The events of an answer as they come, told to `answered` at its end: once, and only if it went its way undisturbed, by
 * one token a step. Parts of it are told as they come, also of a route that has changed.
 */
export async function* watchAnswer(
  events: AsyncIterable<GenerateEvent>,
  answered: (route: readonly RouteHop[], stepMs: number) => void,
  parts?: PartsWatch,
): AsyncGenerator<GenerateEvent> {
  let route: readonly RouteHop[] | undefined
  const pace = parts === undefined ? undefined : new Pace(parts)
  pace?.ask()
  for await (const event of events) {
    pace?.came(event)
    if (event.type === 'start') route = event.route
    else if (event.type === 'reroute') route = undefined
    else if (event.type === 'end' && route !== undefined) {
      const { counters, decode_tokens: tokens, ms_per_token_p50: stepMs } = event.stats
      const disturbed = ['batched_rows', 'draft_tokens', 'failovers'].some((name) => (counters[name] ?? 0) > 0)
      if (tokens >= LEAST_TOKENS && stepMs > 0 && !disturbed) answered(route, stepMs)
    }
    yield event
    pace?.ask()
  }
}

/** A guess that came true is a token without a step of its own; each guess is a row. */
function stepsOf({ ids, stats }: Extract<GenerateEvent, { type: 'end' }>): UsedSteps {
  const { draft_accepted: accepted = 0, draft_tokens: guesses = 0 } = stats.counters
  const steps = Math.max(Math.min(1, ids.length), ids.length - accepted)
  return { steps, rows: steps + guesses }
}

class Pace {
  readonly #parts: PartsWatch
  #route: readonly RouteHop[] = []
  #steps = 0
  #waited = 0
  #since = 0
  #asked = 0
  #last: number | undefined

  constructor(parts: PartsWatch) {
    this.#parts = parts
  }

  /** The reader waits from now on. */
  ask(): void {
    this.#asked = this.#parts.clock.now()
  }

  came(event: GenerateEvent): void {
    const now = this.#parts.clock.now()
    if (event.type === 'start' || event.type === 'reroute') {
      this.#route = event.route
      this.#begin(undefined)
    } else if (event.type === 'end') this.#parts.used(event.ids.length, stepsOf(event))
    else if (event.type === 'token') this.#token(now)
    else if (event.type === 'waiting') this.#begin(undefined)
  }

  #token(now: number): void {
    const last = this.#last
    this.#last = now
    if (last === undefined) return this.#begin(now)
    if (!this.#parts.alone()) return this.#begin(now)
    this.#waited += now - Math.max(this.#asked, last)
    this.#steps++
    const ms = now - this.#since
    if (this.#steps < PART || ms < PART_MS) return
    if (this.#waited >= WAITED * ms) this.#parts.part(this.#route, ms / this.#steps)
    this.#begin(now)
  }

  #begin(last: number | undefined): void {
    this.#steps = 0
    this.#waited = 0
    this.#since = last ?? 0
    this.#last = last
  }
}
