/** A model of the wrong kind for what was asked. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'
import type { ModelManifest } from '../manifest.ts'
import { isGraphManifest } from './manifest.ts'
import type { AnyManifest } from './manifest.ts'

export class ModelKindError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-090',
    title: 'Another kind of model',
    meaning: 'A model that was an ONNX file was asked for what only a language model does, or the other way round.',
    remedy: 'weft run answers with language models, weft infer runs any other model on named arrays.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(model: string, what: string) {
    super(ModelKindError.info, `${model} ${what}`, { details: { model } })
  }
}

/** @throws ModelKindError */
export function languageModel(manifest: AnyManifest): ModelManifest {
  if (isGraphManifest(manifest)) throw new ModelKindError(manifest.model, 'is no language model: weft infer runs it')
  return manifest
}

export const GRAPH_MODEL_ERRORS: readonly ErrorInfo[] = [ModelKindError.info]
