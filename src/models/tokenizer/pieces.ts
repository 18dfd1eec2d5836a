/** Long texts are encoded in pieces, so that whoever serves others meanwhile gets a turn between them. */

/** Each step is some milliseconds of work; the last one has what came of it. */
export type InPieces<Result> = Generator<undefined, Result, undefined>

/** UTF-16 units of a text, or merges in one word, after which a piece ends: some 10 ms. */
export const PIECE = 1 << 14

/** All pieces, one after the other. */
export function atOnce<Result>(work: InPieces<Result>): Result {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}
