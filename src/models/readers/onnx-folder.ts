/** Which ONNX file of a folder in the hub's layout is its model, and which folder has the tokenizer of an ONNX file. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { UnsupportedModelError } from '../errors.ts'
import { openModelFolder } from './model-folder.ts'

/** In float32, as optimum and sentence-transformers write it. */
const MODELS = ['model.onnx', 'onnx/model.onnx'] as const
const WEIGHTS: ReadonlySet<string> = new Set(['model.safetensors', 'model.safetensors.index.json'])
export const TOKENIZER_FILE = 'tokenizer.json'
/** How sentence-transformers says what comes after the graph: its models are encoders, whatever else lies there. */
export const MODULES_FILE = 'modules.json'

/**
 * Path inside of a folder or repository with these files; null where safetensors are its model, or where it has no ONNX
 * file. Of several the one in float32; another is taken by its own name.
 * @throws UnsupportedModelError when none of several is `model.onnx`
 */
export function onnxAmong(files: ReadonlySet<string>, where: string): string | null {
  const onnx = [...files].filter((file) => /^(onnx\/)?[^/]+\.onnx$/i.test(file)).toSorted()
  if (onnx.length === 0) return null
  if ([...WEIGHTS].some((file) => files.has(file)) && !files.has(MODULES_FILE)) return null
  const model = MODELS.find((file) => files.has(file)) ?? (onnx.length === 1 ? onnx[0]! : null)
  if (model !== null) return model
  const names = onnx.slice(0, 20).join(', ')
  throw new UnsupportedModelError(`${where} has ${onnx.length} ONNX files, none of them model.onnx: ${names}`, {
    hint: `Name one of them, e.g. ${onnx[0]}.`,
  })
}

/** The file's path, or null: `path` is no folder, or its model is no ONNX file. @throws UnsupportedModelError, ModelFileError */
export async function onnxOfFolder(path: string): Promise<string | null> {
  if ((await stat(path).catch(() => null))?.isDirectory() !== true) return null
  const names: readonly string[] = await readdir(path).catch(() => [])
  const inner: readonly string[] = names.includes('onnx') ? await readdir(join(path, 'onnx')).catch(() => []) : []
  const file = onnxAmong(new Set([...names, ...inner.map((name) => `onnx/${name}`)]), basename(resolve(path)))
  if (file === null) return null
  const folder = await openModelFolder(path)
  const within = dirname(file) === '.' ? folder : await folder.inner(dirname(file))
  return (await within?.path(basename(file))) ?? null
}

/** The folder of the file, or the one above it, where there is a tokenizer; null: the graph is a plain one. */
export async function tokenizerFolder(onnx: string): Promise<string | null> {
  const beside = dirname(resolve(onnx))
  for (const folder of [beside, dirname(beside)]) {
    if ((await stat(join(folder, TOKENIZER_FILE)).catch(() => null))?.isFile() === true) return folder
  }
  return null
}
