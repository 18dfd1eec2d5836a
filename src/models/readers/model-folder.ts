/**
 * A folder of files as the hub has it. Files are named by the folder's own, so nothing outside of it is read: not by a
 * path in an index, not by a link. The hub's cache is the exception: its snapshots are links into `blobs` beside them.
 */
import { realpath } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { ModelFileError, SourceFileError } from '../errors.ts'
import { jsonObject, parseJson } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import { openFileAccess } from './random-access.ts'
import type { RandomAccess } from './random-access.ts'

export interface ModelFolder {
  /** A file, or null when there is none. @throws ModelFileError when its name or a link leads out of the folder */
  open(name: string): Promise<RandomAccess | null>
  /** A small file whole, or null. @throws ModelFileError when it has over `most` bytes */
  read(name: string, most: number): Promise<Uint8Array | null>
  /** A JSON object, or null. */
  json(name: string, most: number): Promise<JsonObject | null>
  /** A folder in it, with the same bounds; null when there is none. @throws ModelFileError as `open` */
  inner(name: string): Promise<ModelFolder | null>
  /** Path of a file in it, as it is named; null when there is none. @throws ModelFileError as `open` */
  path(name: string): Promise<string | null>
}

/** Letters, digits and a few signs: what the hub's files are called. */
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/

/** @throws SourceFileError */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const root = await resolved(path)
  return folderAt(root, [root, ...cacheBlobs(root)])
}

/** @param allowed folders that files may lie in */
function folderAt(root: string, allowed: readonly string[]): ModelFolder {
  const locate = async (name: string): Promise<string | null> => {
    if (!FILE_NAME.test(name)) {
      throw new ModelFileError(JSON.stringify(name.slice(0, 80)), 'it is not the name of a file in the folder')
    }
    const file = await realpath(join(root, name)).catch(() => null)
    if (file !== null && !allowed.some((folder) => file.startsWith(folder + sep))) {
      throw new ModelFileError(name, 'it is a link that leads out of the folder')
    }
    return file
  }
  const folder: ModelFolder = {
    async open(name) {
      const file = await locate(name)
      return file === null ? null : openFileAccess(file)
    },
    async read(name, most) {
      const file = await folder.open(name)
      if (file === null) return null
      try {
        if (file.size > most) throw new ModelFileError(name, `${file.size} bytes are over ${most}`)
        return await file.read(0, file.size)
      } finally {
        await file.close()
      }
    },
    async json(name, most) {
      const bytes = await folder.read(name, most)
      return bytes === null ? null : jsonObject(parseJson(bytes, name), name)
    },
    async inner(name) {
      const there = await locate(name)
      return there === null ? null : folderAt(join(root, name), allowed)
    },
    path: async (name) => ((await locate(name)) === null ? null : join(root, name)),
  }
  return folder
}

function resolved(path: string): Promise<string> {
  return realpath(path).catch((cause: unknown) => {
    throw new SourceFileError(path, cause instanceof Error ? cause.message : String(cause), cause)
  })
}

/** `models--owner--name/snapshots/<revision>` has its files in `models--owner--name/blobs`. */
function cacheBlobs(root: string): string[] {
  const snapshots = dirname(root)
  const model = dirname(snapshots)
  const isCache = snapshots.endsWith(`${sep}snapshots`) && /[/\\]models--[^/\\]+$/.test(model)
  return isCache ? [join(model, 'blobs')] : []
}
