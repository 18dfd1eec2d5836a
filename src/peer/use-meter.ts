/** How much each model is used at this peer, for decisions that must pay: tokens a minute, what is long ago fading. */
import { MAX_PROFILE_MODELS } from '../mesh/index.ts'
import type { ModelUse } from '../mesh/index.ts'
import type { Clock } from '../util/index.ts'

/** Of what was asked so long ago, a third still counts. */
const FADE_MS = 300_000
const MINUTE_MS = 60_000
/** Below, a model counts as used a little, whether it is or not. */
const LEAST = 64

/** What came of an answer's steps; the row of its prompt that gave the first token is none of them. */
export interface UsedSteps {
  readonly steps: number
  /** Of the steps: those that were given and those that guessed. */
  readonly rows: number
}

interface Used extends UsedSteps {
  readonly tokens: number
  readonly at: number
}

export class UseMeter {
  readonly #clock: Clock
  readonly #models = new Map<string, Used>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param more default: a step and a row for each token */
  used(digest: string, tokens: number, more: UsedSteps = { steps: tokens, rows: tokens }): void {
    const now = this.#clock.now()
    const before = this.#faded(digest, now)
    const { steps, rows } = { steps: before.steps + more.steps, rows: before.rows + more.rows }
    this.#models.delete(digest)
    this.#models.set(digest, { tokens: before.tokens + tokens, steps, rows, at: now })
    const [oldest] = this.#models.keys()
    if (this.#models.size > MAX_PROFILE_MODELS && oldest !== undefined) this.#models.delete(oldest)
  }

  /** In powers of two: each change of it is a record for the whole mesh. */
  told(): ModelUse[] {
    const now = this.#clock.now()
    return [...this.#models.keys()].flatMap((digest) => {
      const faded = this.#faded(digest, now)
      const rate = (faded.tokens * MINUTE_MS) / FADE_MS
      if (rate < LEAST) return []
      return [{ digest, tokens_per_minute: 2 ** Math.min(19, Math.floor(Math.log2(rate))), ...stepsOf(faded) }]
    })
  }

  #faded(digest: string, now: number): Omit<Used, 'at'> {
    const { tokens, steps, rows, at } = this.#models.get(digest) ?? { tokens: 0, steps: 0, rows: 0, at: now }
    const left = Math.exp((at - now) / FADE_MS)
    return { tokens: tokens * left, steps: steps * left, rows: rows * left }
  }
}

/** To a tenth; nothing where a step gives a token, as without guesses. */
function stepsOf({ tokens, steps, rows }: Omit<Used, 'at'>): Pick<ModelUse, 'step_tokens' | 'step_rows'> {
  const each = (sum: number): number => Math.round((10 * sum) / steps) / 10
  return steps > 0 && each(tokens) > 1 ? { step_tokens: each(tokens), step_rows: each(rows) } : {}
}
