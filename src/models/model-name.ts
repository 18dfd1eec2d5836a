/** Names of models: what a person types, and what a file is called after. */
import { ModelNameError } from './errors.ts'

const MODEL_NAME = /^[a-z0-9][a-z0-9._-]*(:[a-z0-9._-]+)?$/
/** A file name may have 255 bytes; some are for the suffix and for temporary names. */
const MAX_NAME = 128

export function isModelName(name: string): boolean {
  return name.length <= MAX_NAME && MODEL_NAME.test(name)
}

/** @throws ModelNameError */
export function checkModelName(name: string): void {
  if (!isModelName(name)) throw new ModelNameError(name)
}

/** The file that the manifest of a model lies in: a colon is not allowed in file names everywhere. */
export function manifestFileName(model: string): string {
  checkModelName(model)
  return `${model.replace(':', '@')}.json`
}

/** A model name made of a file's or a folder's: `SmolLM2-135M-Instruct.Q4_1.gguf` becomes `smollm2-135m-instruct.q4_1`. */
export function modelNameOf(file: string): string {
  const base = file
    .replace(/[/\\]+$/, '')
    .replace(/^.*[/\\]/, '')
    .replace(/(?:-00001-of-\d{5})?\.(gguf|bin|onnx)$/i, '')
    .toLowerCase()
  const name = base
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, MAX_NAME)
  return name === '' ? 'model' : name
}
