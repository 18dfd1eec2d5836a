/** The weights of a folder, in one file or in several that an index names, as one range of bytes. */
import { ModelFileError, UnsupportedModelError } from '../errors.ts'
import type { FileTensor } from './gguf-tensors.ts'
import { joinedAccess } from './joined-access.ts'
import { MAX_SHARDS, MAX_TENSORS } from './limits.ts'
import type { ModelFolder } from './model-folder.ts'
import type { RandomAccess } from './random-access.ts'
import { readSafetensors } from './safetensors.ts'

const WHOLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
/** The index of a model of 65,536 tensors with long names. */
const MAX_INDEX_BYTES = 1 << 24

export interface Shards {
  /** By their names in the files. Offsets count through all files, one after another. */
  readonly tensors: ReadonlyMap<string, FileTensor>
  /** Close it. */
  readonly access: RandomAccess
}

/** @throws ModelFileError, UnsupportedModelError, SourceFileError */
export async function openShards(folder: ModelFolder): Promise<Shards> {
  const whole = await folder.open(WHOLE)
  const opened: RandomAccess[] = whole === null ? [] : [whole]
  try {
    if (whole !== null) {
      const tensors = await readSafetensors(whole, WHOLE)
      return { tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), access: whole }
    }
    return await openIndexed(folder, opened)
  } catch (error) {
    for (const access of opened) await access.close()
    throw error
  }
}

async function openIndexed(folder: ModelFolder, opened: RandomAccess[]): Promise<Shards> {
  const fileOf = await readIndex(folder)
  const tensors = new Map<string, FileTensor>()
  let base = 0
  for (const file of new Set(fileOf.values())) {
    const access = await folder.open(file)
    if (access === null) throw new ModelFileError(file, `${INDEX} names it, and it is not in the folder`)
    opened.push(access)
    for (const tensor of await readSafetensors(access, file)) {
      if (fileOf.get(tensor.name) !== file) {
        throw new ModelFileError(`${file}: ${JSON.stringify(tensor.name.slice(0, 80))}`, `${INDEX} does not say so`)
      }
      tensors.set(tensor.name, { ...tensor, offset: base + tensor.offset })
    }
    base += access.size
  }
  const missing = [...fileOf.keys()].find((name) => !tensors.has(name))
  if (missing !== undefined) {
    throw new ModelFileError(JSON.stringify(missing.slice(0, 80)), `it is not in the file that ${INDEX} names`)
  }
  return { tensors, access: joinedAccess(opened) }
}

async function readIndex(folder: ModelFolder): Promise<ReadonlyMap<string, string>> {
  const index = await folder.json(INDEX, MAX_INDEX_BYTES)
  if (index === null) {
    throw new UnsupportedModelError(`the folder has neither ${WHOLE} nor ${INDEX}`, {
      hint: 'Name the folder of a model as the hub has it, or a GGUF file.',
    })
  }
  const map = index.object('weight_map')
  if (map === undefined) throw new ModelFileError(`${INDEX}: weight_map`, 'it is missing')
  const names = [...map.keys()]
  if (names.length === 0 || names.length > MAX_TENSORS) {
    throw new ModelFileError(`${INDEX}: weight_map`, `it has ${names.length} tensors, not 1 to ${MAX_TENSORS}`)
  }
  const fileOf = new Map(names.map((name) => [name, map.text(name) ?? '']))
  const files = new Set(fileOf.values())
  if (files.size > MAX_SHARDS) throw new ModelFileError(INDEX, `it names ${files.size} files, over ${MAX_SHARDS}`)
  return fileOf
}
