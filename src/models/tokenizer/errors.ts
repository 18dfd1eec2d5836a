/** What can go wrong with tokenizers and chat templates; one class a cause. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

type Details = Readonly<Record<string, unknown>>

export class TokenizerDefinitionError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-101',
    title: 'Unusable tokenizer',
    meaning: 'A tokenizer has missing pieces, contradicts itself, or is larger than any real one.',
    remedy: 'Fetch the model again from its source, or use another conversion of it.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(why: string, details: Details = {}) {
    super(TokenizerDefinitionError.info, `unusable tokenizer: ${why}`, { why, details })
  }
}

export class UnknownPreTokenizerError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-102',
    title: 'Unknown pre-tokenizer',
    meaning: 'The model names a way to cut text into words that weft does not know; a guess would give other tokens.',
    remedy: 'Use a model of a supported family, or a newer weft.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(pre: string, known: readonly string[]) {
    const shown = JSON.stringify(pre.slice(0, 80))
    super(UnknownPreTokenizerError.info, `unknown pre-tokenizer ${shown}`, {
      why: `known are ${known.join(', ')}`,
      details: { pre: pre.slice(0, 80), known },
    })
  }
}

export class UnknownTokenError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-103',
    title: 'Token id out of range',
    meaning: 'A token id is not a whole number from 0 to the size of the vocabulary.',
    remedy: 'Check the ids, and that they were made with the tokenizer of this model.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(id: number, vocabulary: number) {
    super(UnknownTokenError.info, `token id ${id} is out of range: the vocabulary has ${vocabulary} tokens`, {
      details: { id, vocabulary },
    })
  }
}

export class ChatTemplateError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-104',
    title: 'Chat template failed',
    meaning: 'The chat template of the model is malformed, refuses this conversation, or asks for too much work.',
    remedy: 'Check the order and the roles of the messages, or give raw text (--raw), which needs no template.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string, facts: { details?: Details; cause?: unknown } = {}) {
    super(ChatTemplateError.info, `chat template failed: ${why}`, { why, ...facts })
  }
}

export class ChatMessageError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-105',
    title: 'Unusable chat message',
    meaning: 'A message of the conversation does not have text in its role, content or name.',
    remedy: 'Give each message a role and a content that are text.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(index: number, why: string) {
    super(ChatMessageError.info, `message ${index} of the conversation: ${why}`, { why, details: { index } })
  }
}

export const TOKENIZER_ERRORS: readonly ErrorInfo[] = [
  TokenizerDefinitionError.info,
  UnknownPreTokenizerError.info,
  UnknownTokenError.info,
  ChatTemplateError.info,
  ChatMessageError.info,
]
