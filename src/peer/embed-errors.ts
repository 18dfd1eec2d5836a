/** What can go wrong when texts are made vectors. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'

/** Told before anything is computed. */
export class EmbeddingInputError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-110',
    title: 'Texts that an encoder cannot take',
    meaning:
      'A text is longer than the model takes or has no tokens, there are too many texts, or an option is out of range.',
    remedy: 'Cut long texts into pieces, and ask for fewer texts at a time: weft cuts none silently.',
    exit: EXIT.usage,
    http: 400,
  }

  constructor(why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(EmbeddingInputError.info, why, { details: { param: 'input', ...details } })
  }
}

export class EmbeddingOutputError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-111',
    title: 'An encoder gave no vector',
    meaning: 'The output of an encoder has another shape than its manifest says, or holds what is no number.',
    remedy: 'Import the model again; a file in float16 may overflow, then take it in float32.',
    exit: EXIT.integrity,
    http: 500,
  }

  constructor(model: string, output: string, dims: readonly number[] | undefined) {
    const shape = dims === undefined ? 'nothing' : `[${dims.join(', ')}]`
    super(EmbeddingOutputError.info, `${model} gave ${shape} as ${output}, which is no vector of this text`, {
      details: { model },
    })
  }
}

export const EMBED_ERRORS: readonly ErrorInfo[] = [EmbeddingInputError.info, EmbeddingOutputError.info]
