/** Finds the files of external data. What lies outside of the model's folder is never opened, not even looked at. */
import { realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { ExternalDataError, ExternalDataOutsideError } from './errors.ts'

export interface ExternalFile {
  /** Absolute, with all links resolved. */
  readonly path: string
  readonly size: number
}

export interface ExternalFiles {
  /** @throws ExternalDataOutsideError, ExternalDataError */
  find(tensor: string, location: string): ExternalFile
}

/**
 * Data may lie in the folder in which the model was named, or in the one where a link to it leads: hub clients keep
 * models as links into a folder of blobs. Both are resolved first, so that a link in either cannot lead out.
 */
export function externalFiles(modelPath: string): ExternalFiles {
  const folder = dirname(resolve(modelPath))
  const roots = [realpathSync(folder), dirname(realpathSync(modelPath))]
  const known = new Map<string, ExternalFile>()
  return {
    find(tensor, location) {
      const file = known.get(location) ?? locate({ modelPath, folder, roots }, tensor, location)
      known.set(location, file)
      return file
    },
  }
}

/** For a file that must stand by itself. */
export function noExternalFiles(modelPath: string): ExternalFiles {
  return {
    find(tensor, location) {
      throw new ExternalDataOutsideError(modelPath, tensor, location, 'this file must stand by itself')
    },
  }
}

interface Place {
  readonly modelPath: string
  readonly folder: string
  readonly roots: readonly string[]
}

function locate({ modelPath, folder, roots }: Place, tensor: string, location: string): ExternalFile {
  const outside = (why: string): ExternalDataOutsideError =>
    new ExternalDataOutsideError(modelPath, tensor, location, why)
  const unusable = (why: string, cause?: unknown): ExternalDataError =>
    new ExternalDataError(modelPath, tensor, location, why, cause)
  if (location === '') throw unusable('no file is named')
  if (location.includes('\0')) throw outside('there is a zero byte in its name')
  if (isAbsolute(location)) throw outside('it is an absolute path')
  const named = resolve(folder, location)
  if (!isInside(folder, named)) throw outside('it climbs out')
  try {
    const path = realpathSync(named)
    if (!roots.some((root) => isInside(root, path))) throw outside('a link leads out')
    const stats = statSync(path)
    if (!stats.isFile()) throw unusable('it is no regular file')
    // Its other name may be anywhere: an archive that was unpacked as links gives away what they lead to.
    if (stats.nlink > 1) throw outside('it has a second name on this disk (a hard link); a copy of it is read')
    return { path, size: stats.size }
  } catch (error) {
    if (error instanceof ExternalDataError || error instanceof ExternalDataOutsideError) throw error
    // What follows is the path, as it is: the file chose it.
    throw unusable(error instanceof Error ? error.message.split(',', 1)[0]! : String(error), error)
  }
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}
