/** Puts an adapter's folder in its place whole: beside it under a name of its own first, then by renaming. */
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isProcessAlive, needFolders, syncDirectory } from '../store/index.ts'

/** `.NAME.new-PID-xxxxxx`, and `.NAME.old-PID-xxxxxx` of what was there before; no adapter's name begins with a dot. */
const ASIDE = /^\.(.+)\.(new|old)-(\d+)-\w+$/

/**
 * @param write fills an empty folder
 * @throws what `write` does; the folder that was there before stays then
 */
export async function replaceFolder<T>(target: string, write: (folder: string) => Promise<T>): Promise<T> {
  const [parent, name] = [dirname(target), basename(target)]
  await needFolders(parent, 0o700)
  await mendFolders(parent)
  const staged = await mkdtemp(join(parent, `.${name}.new-${process.pid}-`))
  try {
    const result = await write(staged)
    await swapped(staged, target)
    await syncDirectory(parent)
    return result
  } finally {
    await rm(staged, { recursive: true, force: true })
  }
}

/** A folder that has files cannot be renamed over another one. */
async function swapped(staged: string, target: string): Promise<void> {
  const aside = join(dirname(staged), basename(staged).replace(/^(\..+)\.new-(?=\d+-\w+$)/, '$1.old-'))
  const hadOne = await rename(target, aside).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return false
    },
  )
  try {
    await rename(staged, target)
  } catch (error) {
    if (hadOne) await rename(aside, target)
    throw error
  }
  if (hadOne) await rm(aside, { recursive: true, force: true })
}

/** What processes left behind that were killed: a folder that was set aside goes back where nothing took its place. */
async function mendFolders(parent: string): Promise<void> {
  for (const entry of await readdir(parent)) {
    const [, name, kind, pid] = ASIDE.exec(entry) ?? []
    if (name === undefined || isProcessAlive(Number(pid))) continue
    const left = join(parent, entry)
    const isBack =
      kind === 'old' &&
      (await rename(left, join(parent, name)).then(
        () => true,
        () => false,
      ))
    if (!isBack) await rm(left, { recursive: true, force: true })
  }
}
