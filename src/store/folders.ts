/** Folders on the way to a file. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { explainDisk, syncDirectory } from './disk.ts'

/**
 * A folder with all above it, each made by itself. What node has for it (`mkdir` with `recursive`) tries for ever where a
 * folder cannot be made and the system says that there is none above it, as in /proc.
 * Durable when it resolves: a file in a folder that a lost power supply takes away is lost with it.
 * @returns the first that had to be made; undefined: it was there. @throws what the system says, with its code
 */
export async function makeFolders(path: string, mode = 0o777): Promise<string | undefined> {
  const missing: string[] = []
  for (let at = resolve(path); !(await isFolder(at)); at = dirname(at)) missing.unshift(at)
  for (const folder of missing) {
    await mkdir(folder, mode).catch(async (error: unknown) => {
      // another was quicker
      if (!(await isFolder(folder))) throw error
    })
    await syncDirectory(dirname(folder))
  }
  return missing[0]
}

/** The same, for a folder of weft's own. @throws DiskFullError, StoreUnwritableError */
export async function needFolders(path: string, mode = 0o700): Promise<void> {
  try {
    await makeFolders(path, mode)
  } catch (error) {
    throw await explainDisk(error, await standingFolder(path), 0)
  }
}

/** The nearest one that is there: whose disk it is. */
async function standingFolder(path: string): Promise<string> {
  for (let at = resolve(path); ; at = dirname(at))
    if (at === dirname(at) || (await isFolder(at).catch(() => false))) return at
}

/** False: there is nothing yet. @throws what the system says of anything else, ENOTDIR of a file */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`), { code: 'ENOTDIR', path })
}
