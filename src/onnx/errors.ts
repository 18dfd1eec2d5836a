/** What can go wrong with graphs and the engine that runs them. */
import { EXIT, WeftError } from '../errors.ts'
import type { ErrorInfo } from '../errors.ts'
import { IR_ERRORS } from './ir/errors.ts'

/** The engine refused a graph or failed while it ran; `why` has its own words. */
export class EngineError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-001',
    title: 'The inference engine failed',
    meaning: 'ONNX Runtime could not load or run a graph.',
    remedy: 'weft doctor checks the engine; weft rm and weft import make the stage again.',
    exit: EXIT.unexpected,
    http: 500,
  }

  constructor(action: 'load' | 'run', path: string, cause: unknown, shapes?: string) {
    const words = cause instanceof Error ? cause.message : String(cause)
    super(EngineError.info, `the engine could not ${action} a graph`, {
      why: words,
      cause,
      details: { action, path, ...(shapes === undefined ? {} : { shapes }) },
    })
  }
}

/** Pre-packed weights gave other results than the weights that they were made of: the stage goes on without them. */
export class PrepackedDiffersError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-INF-002',
    title: 'Pre-packed weights are not used',
    meaning: 'What the engine packed in advance gave other bits than the weights themselves, so it was thrown away.',
    remedy: 'Nothing is wrong with the answers. The stage takes longer to load and more memory than it could.',
    exit: EXIT.unexpected,
    http: 500,
  }

  constructor(output: string, rows: number) {
    super(PrepackedDiffersError.info, 'pre-packed weights give other results', { details: { output, rows } })
  }
}

export const ONNX_ERRORS: readonly ErrorInfo[] = [EngineError.info, PrepackedDiffersError.info, ...IR_ERRORS]
