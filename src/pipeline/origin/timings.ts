/** What a generation took, measured at its origin. */
import type { Clock } from '../../util/index.ts'
import type { GenerateStats } from '../types.ts'

interface Prompt {
  readonly tokens: number
  readonly cached: number
}

export class Timings {
  readonly #clock: Clock
  readonly #before: Readonly<Record<string, number>>
  readonly #started: number
  #hops = 1
  #prefillEnd = 0
  #prompt: Prompt = { tokens: 0, cached: 0 }
  #last = 0
  readonly #steps: number[] = []
  /** Tokens of the last step that are still to be told of. */
  #open = 0
  readonly #overheads: number[] = []

  /** @param before counters when the request began: the answer's are the differences. */
  constructor(clock: Clock, before: Readonly<Record<string, number>>) {
    this.#clock = clock
    this.#before = before
    this.#started = clock.now()
  }

  /** The first token is here, over so many hops. */
  prefilled(prompt: Prompt, hops: number): void {
    this.#prompt = prompt
    this.#hops = hops
    this.#prefillEnd = this.#last = this.#clock.now()
  }

  /**
   * Another token is here; `computeMs` is what the stages spent on its step.
   * @param together tokens of that step, which share its time
   */
  token(computeMs: number, together = 1): void {
    if (this.#open > 0) {
      this.#open--
      return
    }
    this.#open = together - 1
    const now = this.#clock.now()
    const spent = now - this.#last
    for (let token = 0; token < together; token++) this.#steps.push(spent / together)
    this.#overheads.push(Math.max(0, spent - computeMs) / this.#hops)
    this.#last = now
  }

  stats(tokens: number, counters: Readonly<Record<string, number>>): GenerateStats {
    const decodeMs = this.#last - this.#prefillEnd
    const prefillMs = this.#prefillEnd - this.#started
    return {
      prefill_tokens: this.#prompt.tokens,
      cached_tokens: this.#prompt.cached,
      decode_tokens: tokens,
      prefill_ms: prefillMs,
      decode_ms: decodeMs,
      time_to_first_token_ms: prefillMs,
      ms_per_token_p50: median(this.#steps),
      tokens_per_second: this.#steps.length === 0 ? 0 : (this.#steps.length * 1000) / decodeMs,
      hop_ms_p50: median(this.#overheads),
      counters: Object.fromEntries(
        Object.entries(counters).map(([name, value]) => [name, value - (this.#before[name] ?? 0)]),
      ),
    }
  }
}

function median(values: readonly number[]): number {
  if (values.length === 0) return 0
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
