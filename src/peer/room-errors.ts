/** Why an answer is not begun now, though it could be later. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** Those that run have all the room, and so many wait for it that this one would wait too long. */
export class NoRoomYetError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-044',
    title: 'No room yet',
    meaning:
      'The stages have room for the answers that run and no more, and the queue for it is full, or longer than anybody should wait. Nothing was computed.',
    remedy:
      'Ask again after the time that the error names, ask for fewer tokens, or give weft more memory (weft up --memory).',
    exit: EXIT.noResources,
    http: 429,
    retryable: true,
  }

  /** @param again seconds after which a place is expected @param cause what the stage said */
  constructor(
    model: string,
    facts: { readonly waiting: number; readonly running: number; readonly again: number },
    cause?: unknown,
  ) {
    const { waiting, running, again } = facts
    super(NoRoomYetError.info, `no room for another answer of ${model} now`, {
      why: `${running} run and ${waiting} wait; a place is expected in ${again} s`,
      details: { model, waiting, running, retry_after_s: again },
      ...(cause === undefined ? {} : { cause }),
    })
  }
}
