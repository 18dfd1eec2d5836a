/** The files that llama.cpp's gguf-split makes of one: all of them are the model, and the first names it. */
import { MAX_SHARDS } from '../readers/limits.ts'

const PART = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/i

/** All names from the first on, where this is the name of one of several; else null. Folders before it are kept. */
export function ggufPartNames(file: string): readonly string[] | null {
  const [, name, number, all] = PART.exec(file) ?? []
  const count = Number(all)
  if (name === undefined || count < 2 || count > MAX_SHARDS || Number(number) < 1 || Number(number) > count) return null
  const ending = file.slice(-'.gguf'.length)
  return Array.from({ length: count }, (_, at) => `${name}-${String(at + 1).padStart(5, '0')}-of-${all!}${ending}`)
}

/** Models among these files, each by its first one, parts that are complete or not. */
export function ggufModels(files: readonly string[]): readonly string[] {
  return [...new Set(files.map((file) => ggufPartNames(file)?.[0] ?? file))]
}
