/** What of a model reads text, for callers that need it. */
import type { AnyManifest } from './manifest.ts'
import { isGraphManifest } from './manifest.ts'
import { ModelKindError } from './errors.ts'
import type { EncoderText, TextBlob } from './text.ts'

/** @throws ModelKindError for a graph that reads no text */
export function tokenizerOf(manifest: AnyManifest): TextBlob {
  if (!isGraphManifest(manifest)) return manifest.tokenizer
  if (manifest.text !== undefined) return manifest.text.tokenizer
  throw new ModelKindError(manifest.model, 'is a graph without a tokenizer: weft infer runs it on arrays')
}

/** @throws ModelKindError for what is no encoder */
export function encoderOf(manifest: AnyManifest): EncoderText {
  if (isGraphManifest(manifest) && manifest.text?.kind === 'encoder') return manifest.text
  const why =
    isGraphManifest(manifest) && manifest.text === undefined
      ? 'it was imported without a tokenizer beside it'
      : 'it goes on with a text, and gives no vectors'
  throw new ModelKindError(manifest.model, `is no encoder: ${why}`)
}
