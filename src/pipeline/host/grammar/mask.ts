/** Which tokens may follow in one answer. */
import type { GrammarMatcher } from '@mlc-ai/web-xgrammar'
import { OutOfStepError } from '../errors.ts'

export class GrammarMask {
  #matcher: GrammarMatcher | undefined
  #bits: Int32Array | undefined
  #closed = false
  /** The mask of the next token: computed while the last one travels. */
  #next: Promise<void>

  constructor(matcher: Promise<GrammarMatcher>, generated: readonly number[]) {
    this.#next = this.#begin(matcher, generated)
    // Whoever waits for it is told.
    this.#next.catch(() => undefined)
  }

  /** What may follow is known. @throws AnswerFormatError */
  ready(): Promise<void> {
    return this.#next
  }

  /** @param logits [vocabulary]; not changed. Returns them with -Infinity for what may not follow. */
  apply(logits: Float32Array): Float32Array {
    const bits = this.#bits
    if (bits === undefined) return logits
    const out = logits.slice()
    for (let id = 0; id < out.length; id++) if (((bits[id >>> 5]! >>> (id & 31)) & 1) === 0) out[id] = -Infinity
    return out
  }

  accept(id: number): void {
    const matcher = this.#matcher
    if (matcher === undefined || matcher.isTerminated()) return
    if (!matcher.acceptToken(id)) throw new OutOfStepError('a token does not follow in the answer’s format', { id })
    this.#next = this.#look(matcher)
    this.#next.catch(() => undefined)
  }

  /** Its memory is not JavaScript's. */
  close(): void {
    this.#closed = true
    this.#matcher?.dispose()
    this.#matcher = undefined
    this.#bits = undefined
  }

  async #begin(made: Promise<GrammarMatcher>, generated: readonly number[]): Promise<void> {
    const matcher = await made
    if (this.#closed) return matcher.dispose()
    this.#matcher = matcher
    for (const id of generated)
      if (!matcher.acceptToken(id)) throw new OutOfStepError('a token does not follow in the answer’s format', { id })
    await this.#look(matcher)
  }

  async #look(matcher: GrammarMatcher): Promise<void> {
    this.#bits = matcher.isTerminated() ? undefined : await matcher.getNextTokenBitmask()
  }
}
