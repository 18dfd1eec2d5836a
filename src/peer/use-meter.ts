/** How much each model is used at this peer, for decisions that must pay: tokens a minute, what is long ago fading. */
import { MAX_PROFILE_MODELS } from '../mesh/index.ts'
import type { ModelUse } from '../mesh/index.ts'
import type { Clock } from '../util/index.ts'

/** Of what was asked so long ago, a third still counts. */
const FADE_MS = 300_000
const MINUTE_MS = 60_000
/** Below, a model counts as used a little, whether it is or not. */
const LEAST = 64

export class UseMeter {
  readonly #clock: Clock
  readonly #models = new Map<string, { readonly tokens: number; readonly at: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  used(digest: string, tokens: number): void {
    const now = this.#clock.now()
    const sum = this.#faded(digest, now) + tokens
    this.#models.delete(digest)
    this.#models.set(digest, { tokens: sum, at: now })
    const [oldest] = this.#models.keys()
    if (this.#models.size > MAX_PROFILE_MODELS && oldest !== undefined) this.#models.delete(oldest)
  }

  /** In powers of two: each change of it is a record for the whole mesh. */
  told(): ModelUse[] {
    const now = this.#clock.now()
    return [...this.#models.keys()].flatMap((digest) => {
      const rate = (this.#faded(digest, now) * MINUTE_MS) / FADE_MS
      return rate < LEAST ? [] : [{ digest, tokens_per_minute: 2 ** Math.min(19, Math.floor(Math.log2(rate))) }]
    })
  }

  #faded(digest: string, now: number): number {
    const known = this.#models.get(digest)
    return known === undefined ? 0 : known.tokens * Math.exp((known.at - now) / FADE_MS)
  }
}
