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
    remedy:
      'weft run answers with language models, weft embed takes encoders, weft infer runs any other model on named arrays.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(model: string, what: string) {
    super(ModelKindError.info, `${model} ${what}`, { details: { model } })
  }
}

const WHAT_ELSE = {
  encoder: 'is no language model: weft embed gives its vectors',
  decoder: 'is a decoder in ONNX: weft run answers with it',
  other: 'is no language model: weft infer runs it',
} as const

/** @throws ModelKindError */
export function languageModel(manifest: AnyManifest): ModelManifest {
  if (!isGraphManifest(manifest)) return manifest
  throw new ModelKindError(manifest.model, WHAT_ELSE[manifest.text?.kind ?? 'other'])
}

/** A decoder export that text could not be made with. */
export class DecoderInputsError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-092',
    title: 'Decoder export with unknown inputs',
    meaning: 'A decoder in ONNX has an input or a cache that weft does not know what to give for.',
    remedy:
      'Import the .onnx file itself, not its folder: weft infer runs it on arrays. docs/decoders.md lists the inputs.',
    exit: EXIT.usage,
    http: 400,
  }
  constructor(why: string) {
    super(DecoderInputsError.info, `the decoder cannot be run on text: ${why}`, { why })
  }
}

export const GRAPH_MODEL_ERRORS: readonly ErrorInfo[] = [ModelKindError.info, DecoderInputsError.info]
