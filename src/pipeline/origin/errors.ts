/** What is wrong with a request before anything is computed for it. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class EmptyPromptError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-040',
    title: 'Empty prompt',
    meaning: 'The prompt has no tokens, so there is nothing that an answer could follow.',
    remedy: 'Give a prompt of at least one character.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor() {
    super(EmptyPromptError.info, 'the prompt is empty')
  }
}

/** Of a prompt that is refused people want to know by how much; a megabyte is not counted to its end for that. */
export const COUNTED_CONTEXTS = 4

export class ContextFullError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-041',
    title: 'Prompt longer than the context',
    meaning: 'The prompt has as many tokens as the model can see, or more: nothing could follow.',
    remedy: 'Shorten the prompt, or use a model with a longer context (weft show MODEL names it).',
    exit: EXIT.usage,
    http: 400,
  }

  /** `tokens`: no more than `COUNTED_CONTEXTS` contexts of them need to have been counted. */
  constructor(tokens: number, context: number) {
    const many = `${tokens > COUNTED_CONTEXTS * context ? 'at least ' : ''}${tokens} tokens`
    super(ContextFullError.info, `the prompt has ${many}, the context holds ${context}`, {
      details: { tokens, context },
    })
  }
}

/** Tokens are held until they are checked, and nobody can check them. */
export class AuditUnavailableError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-042',
    title: 'Nobody can check a stage',
    meaning:
      'The answer was to be held until what other peers computed had been checked, and no other peer, nor this one, has the blocks to check it.',
    remedy:
      'Give another peer the same blocks (replicas in a placement), or this one memory for them, or ask with --audit sample.',
    exit: EXIT.noResources,
    http: 503,
    retryable: true,
  }

  constructor({ peer, from, to }: { readonly peer: string; readonly from: number; readonly to: number }, why: string) {
    super(AuditUnavailableError.info, `nobody can check the blocks [${from}, ${to}) of the peer ${peer}`, {
      why,
      details: { peer, from, to },
    })
  }
}

export const ORIGIN_ERRORS: readonly ErrorInfo[] = [
  EmptyPromptError.info,
  ContextFullError.info,
  AuditUnavailableError.info,
]
