/** What a session knows of its text's prefix: what it is called, and how much of it the stages have already. */
import { NAME_BYTES, RUN_ROWS } from '../prefix/names.ts'
import type { PrefixNames } from '../prefix/names.ts'
import type { SessionInit } from './session.ts'

export class TextPrefix {
  readonly #names: PrefixNames
  readonly #prompt: readonly number[]
  /** Of the runs that the prompt begins with. Its last row is computed in any case: a token follows it. */
  readonly offered: Uint8Array<ArrayBuffer>

  constructor(names: PrefixNames, prompt: readonly number[]) {
    this.#names = names
    this.#prompt = prompt
    this.offered = names.of(prompt.slice(0, -1))
  }

  /** Undefined: the text is not to be kept, since rows of audited sessions are signed as they come. */
  static of({ names, audit, prompt }: SessionInit): TextPrefix | undefined {
    return names === undefined || audit !== undefined ? undefined : new TextPrefix(names, prompt)
  }

  /** Ids of the prompt's rows [from, to). */
  ids(from: number, to: number): readonly number[] {
    return this.#prompt.slice(from, to)
  }

  /** Rows that hops may have before they were sent any. */
  get rows(): number {
    return (this.offered.length / NAME_BYTES) * RUN_ROWS
  }

  /** Names of runs of the text, behind those that were offered. @param ids of the rows that all hops have */
  more(ids: readonly number[]): Uint8Array<ArrayBuffer> {
    return this.#names.of(ids).subarray(this.offered.length)
  }
}
