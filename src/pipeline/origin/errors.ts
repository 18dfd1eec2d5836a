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

export class ContextFullError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-041',
    title: 'Prompt longer than the context',
    meaning: 'The prompt has as many tokens as the model can see, or more: nothing could follow.',
    remedy: 'Shorten the prompt, or use a model with a longer context (weft show MODEL names it).',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(tokens: number, context: number) {
    super(ContextFullError.info, `the prompt has ${tokens} tokens, the context holds ${context}`, {
      details: { tokens, context },
    })
  }
}

export const ORIGIN_ERRORS: readonly ErrorInfo[] = [EmptyPromptError.info, ContextFullError.info]
