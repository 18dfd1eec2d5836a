/** Why a model does not guess for another. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** The draft model that a request names, or wants, cannot be used; nothing was computed. */
export class DraftUnusableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-043',
    title: 'Draft model cannot be used',
    meaning:
      'The request asks for guesses of a small model that this peer does not have whole, that has another vocabulary, that is no smaller than the model, or that does not fit into its memory.',
    remedy:
      'Import a smaller model of the same vocabulary here (weft import SOURCE), name that one (--draft MODEL), or leave it out.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(model: string, draft: string | undefined, why: string) {
    const what =
      draft === undefined
        ? `no model here can guess for ${model}`
        : `the draft model ${JSON.stringify(draft.slice(0, 100))} cannot guess for ${model}`
    super(DraftUnusableError.info, `${what}: ${why}`, { why, details: { model, draft: draft ?? '' } })
  }
}
