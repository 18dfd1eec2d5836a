/**
 * A model that was split into several GGUF files (llama.cpp's gguf-split): `NAME-00001-of-00003.gguf` has the metadata, each has
 * tensors of its own, and all are taken as one file. Those beside the first are found by its name, in its folder alone.
 */
import { basename, dirname } from 'node:path'
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { FileTensor } from './gguf-tensors.ts'
import { readGguf } from './gguf.ts'
import type { GgufFile } from './gguf.ts'
import { joinedAccess } from './joined-access.ts'
import { MAX_SHARDS, MAX_TENSORS } from './limits.ts'
import { metadataAccess } from './metadata-access.ts'
import { openModelFolder } from './model-folder.ts'
import type { RandomAccess } from './random-access.ts'

export interface GgufParts {
  /** Metadata of the first file, tensors of all. Offsets count through all files, one after another. */
  readonly file: GgufFile
  /** Of all files, the first among them. Close it. */
  readonly access: RandomAccess
}

const PART = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/i

/**
 * @param first the file at `path`; it stays open when this fails, and no other does
 * @throws ModelFileError, UnsupportedModelError, SourceFileError
 */
export async function openGgufParts(path: string, first: RandomAccess): Promise<GgufParts> {
  const file = await readGguf(first)
  const { count, number, tensors: all } = splitOf(file)
  if (count === 1) return { file, access: first }
  const [, name, ownNumber, ownCount] = PART.exec(basename(path)) ?? []
  if (name === undefined || number !== 0 || Number(ownNumber) !== 1 || Number(ownCount) !== count) {
    throw new UnsupportedModelError(`the file is number ${number + 1} of ${count} that a model is split into`, {
      why: 'the others are found by the name of the first, NAME-00001-of-0000N.gguf',
      hint: `Name the first file, whose name ends with ${ending(1, count)}.`,
    })
  }
  const opened: RandomAccess[] = [first]
  try {
    const tensors = new Map(file.tensors.map((tensor) => [tensor.name, tensor]))
    const folder = await openModelFolder(dirname(path))
    for (let part = 2; part <= count; part++) {
      const own = `${name}${ending(part, count)}`
      const access = await folder.open(own)
      if (access === null)
        throw new ModelFileError(own, `the model is split into ${count} files, and it is not beside the first`)
      const base = opened.reduce((sum, { size }) => sum + size, 0)
      opened.push(access)
      take(tensors, await partOf(access, own, part, count), base, own)
    }
    if (all !== undefined && tensors.size !== all) {
      throw new ModelFileError('split.tensors.count', `it is ${all}, and the files have ${tensors.size} tensors`)
    }
    return { file: { ...file, tensors: [...tensors.values()] }, access: joinedAccess(opened) }
  } catch (error) {
    for (const access of opened.slice(1)) await access.close()
    throw error
  }
}

/** `-00001-of-00003.gguf` */
function ending(part: number, count: number): string {
  return `-${String(part).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`
}

interface Split {
  readonly count: number
  /** From 0. */
  readonly number: number
  /** Of all files together. */
  readonly tensors: number | undefined
}

function splitOf({ metadata }: GgufFile): Split {
  const of = metadataAccess(metadata)
  const count = Math.max(1, of.count('split.count', 0, MAX_SHARDS, 1))
  const total = of.has('split.tensors.count') ? of.count('split.tensors.count', 0, MAX_TENSORS, 0) : undefined
  return { count, number: of.count('split.no', 0, MAX_SHARDS, 0), tensors: total }
}

async function partOf(access: RandomAccess, name: string, part: number, count: number): Promise<GgufFile> {
  const file = await readGguf(access)
  const split = splitOf(file)
  if (split.number !== part - 1 || split.count !== count) {
    throw new ModelFileError(name, `it says that it is number ${split.number + 1} of ${split.count}`)
  }
  return file
}

function take(tensors: Map<string, FileTensor>, file: GgufFile, base: number, where: string): void {
  for (const tensor of file.tensors) {
    if (tensors.has(tensor.name)) {
      throw new ModelFileError(`${where}: ${JSON.stringify(tensor.name.slice(0, 80))}`, 'another file has it too')
    }
    tensors.set(tensor.name, { ...tensor, offset: base + tensor.offset })
  }
  if (tensors.size > MAX_TENSORS) throw new ModelFileError(where, `its files have over ${MAX_TENSORS} tensors`)
}
