/** Private files: written whole or not at all, never over another, readable by their owner alone. */
import { link, lstat, open, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { DamagedKeyFileError, KeyFileAccessError, KeyFileExistsError, LooseKeyFileError } from './errors.ts'
import { makeFolders } from '../store/index.ts'

/** No key of ours is longer; more is not read. */
const MAX_KEY_FILE_BYTES = 4096

/**
 * The content, or undefined when there is no such file.
 * @throws LooseKeyFileError, DamagedKeyFileError, KeyFileAccessError
 */
export async function readKeyFile(path: string): Promise<Uint8Array | undefined> {
  try {
    const stats = await lstat(path)
    if (!stats.isFile()) throw new DamagedKeyFileError(path, 'it is not a plain file')
    // Windows has no such bits: files there inherit the access list of the user's folder
    if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) throw new LooseKeyFileError(path, stats.mode)
    if (stats.size > MAX_KEY_FILE_BYTES) throw new DamagedKeyFileError(path, `it has ${stats.size} bytes`)
    return await readFile(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    if (error instanceof LooseKeyFileError || error instanceof DamagedKeyFileError) throw error
    throw new KeyFileAccessError(path, 'read', error)
  }
}

/**
 * Writes a new private file (0600 under any umask), durable when it returns.
 * @throws KeyFileExistsError, KeyFileAccessError
 */
export async function createKeyFile(path: string, content: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}-${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
  try {
    await makeFolders(dirname(path), 0o700)
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.chmod(0o600)
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // unlike rename, link fails where a file stands: of two processes that start at once one wins, the other reads
    await link(temporary, path).catch((error: unknown) => {
      throw codeOf(error) === 'EEXIST' ? new KeyFileExistsError(path) : error
    })
    await rm(temporary)
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    if (error instanceof KeyFileExistsError) throw error
    throw new KeyFileAccessError(path, 'write', error)
  }
}

/** Makes the new name durable; folders that cannot be synced (Windows, some network mounts) are let be. */
async function syncDirectory(directory: string): Promise<void> {
  try {
    const handle = await open(directory, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP'].includes(codeOf(error))) throw error
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}
