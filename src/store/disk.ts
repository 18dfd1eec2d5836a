/** Writing files so that a crash leaves the old content or the new, never half of one. */
import { lstat, open, readdir, rename, rm, statfs } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { DiskFullError, StoreUnwritableError } from './errors.ts'

/** `.weft-<pid>-<thread>-<n>-<name>.tmp`: whose it is can be read from the name, so that leftovers can be told. */
const TEMPORARY = /^\.weft-(\d{1,10})-(\d{1,10})-\d+-.*\.tmp$/
/** Names of temporary files that this thread is writing now. */
const live = new Set<string>()
let counter = 0
const READ_BYTES = 1 << 20
const UNUSABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'ELOOP', 'ENAMETOOLONG', 'EINVAL'])

/** Bytes that an unprivileged process may still write to the file system of `directory`. */
export async function availableBytes(directory: string): Promise<number> {
  const stats = await statfs(directory)
  return stats.bavail * stats.bsize
}

export interface TemporaryFile {
  readonly path: string
  readonly handle: FileHandle
  /** Makes it durable under `target` (same directory or one below the same mount); the handle is closed. */
  commit(target: string): Promise<void>
  /** The last step of `commit` alone: whoever takes it has synced the handle, and syncs the folder afterwards. */
  place(target: string): Promise<void>
  /** Removes it; harmless after `commit`. */
  discard(): Promise<void>
}

/** A new file in `directory` that belongs to this process. */
export async function createTemporary(directory: string, label: string, mode = 0o644): Promise<TemporaryFile> {
  const name = `.weft-${process.pid}-${threadId}-${counter++}-${label}.tmp`
  const path = join(directory, name)
  live.add(name)
  let handle: FileHandle
  try {
    handle = await open(path, 'wx', mode)
  } catch (error) {
    live.delete(name)
    throw error
  }
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await handle.close()
    isOpen = false
  }
  const place = async (target: string): Promise<void> => {
    await close()
    await rename(path, target)
    live.delete(name)
  }
  return {
    path,
    handle,
    place,
    async commit(target) {
      await handle.sync()
      await place(target)
      await syncDirectory(dirname(target))
    },
    async discard() {
      await close().catch(() => {})
      if (live.has(name)) await rm(path, { force: true })
      live.delete(name)
    },
  }
}

/** Is `name` a temporary file whose writer is gone? */
export function isAbandoned(name: string): boolean {
  const match = TEMPORARY.exec(name)
  if (match === null) return false
  const pid = Number(match[1])
  if (pid !== process.pid) return !isProcessAlive(pid)
  // Our pid: either this thread writes it now, or another thread may, or it is of an earlier process with this pid.
  return Number(match[2]) === threadId && !live.has(name)
}

/** A process that writes touches its file more often: in a folder that machines share, its number says nothing here. */
const SILENT_MS = 60_000

/**
 * Removes what killed processes of weft were writing to a folder that is not weft's own.
 * @param now a file that was made just now, whose time is the file system's
 */
export async function removeAbandoned(directory: string, now: TemporaryFile): Promise<void> {
  const { mtimeMs } = await now.handle.stat()
  for (const name of await readdir(directory)) {
    if (!isAbandoned(name)) continue
    const path = join(directory, name)
    const stats = await lstat(path).catch(() => null)
    if (stats?.isFile() === true && mtimeMs - stats.mtimeMs > SILENT_MS) await rm(path, { force: true })
  }
}

export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** Makes renames in `directory` durable; file systems that cannot sync a folder are let be. */
export async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle
  try {
    handle = await open(directory, 'r')
  } catch (error) {
    if (['EISDIR', 'EPERM', 'EACCES'].includes(errorCode(error))) return
    throw error
  }
  try {
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'ENOTSUP'].includes(errorCode(error))) throw error
  } finally {
    await handle.close()
  }
}

interface AtomicOptions {
  /** Exactly this one. @default 0600: what a home holds is its owner's */
  readonly mode?: number
  /** It is made for people to pass on: as their other files are. */
  readonly exported?: boolean
}

/**
 * Replaces `path` by `bytes`, whole or not at all, durable when it returns.
 * @throws DiskFullError, StoreUnwritableError
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array | string,
  options: AtomicOptions = {},
): Promise<void> {
  const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  let file: TemporaryFile | undefined
  try {
    file = await createTemporary(dirname(path), basename(path).slice(0, 100), options.mode ?? modeOf(options))
    // The umask takes bits from the mode of a new file; whoever names a mode wants exactly that one.
    if (options.mode !== undefined) await file.handle.chmod(options.mode)
    await writeAll(file.handle, content, 0)
    await file.commit(path)
  } catch (error) {
    await file?.discard()
    throw await explainDisk(error, dirname(path), content.length)
  }
}

const modeOf = ({ exported = false }: AtomicOptions): number => (exported ? 0o666 : 0o600)

/** A file's bytes, or one more than `most` of them: devices and pipes do not say how much they have. */
export async function readAtMost(path: string, most: number): Promise<Buffer> {
  await using handle = await open(path, 'r')
  const parts: Buffer[] = []
  for (let size = 0; size <= most;) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(most + 1 - size, READ_BYTES)))
    if (bytesRead === 0) break
    parts.push(buffer.subarray(0, bytesRead))
    size += bytesRead
  }
  return Buffer.concat(parts)
}

/** Writes all of `bytes` at `position`, however the kernel cuts it. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

/** Turns the file system's refusals into coded errors; others are handed back as they are. */
export async function explainDisk(thrown: unknown, directory: string, needed: number): Promise<unknown> {
  const code = errorCode(thrown)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    const stats = await statfs(directory).catch(() => undefined)
    if (stats === undefined) return new DiskFullError(directory, needed, 0, thrown)
    // Some file systems have no such limit, and say that they have no files.
    const files = stats.files > 0 ? stats.ffree : undefined
    return new DiskFullError(directory, needed, stats.bavail * stats.bsize, thrown, files)
  }
  if (UNUSABLE.has(code)) return new StoreUnwritableError(directory, thrown)
  return thrown
}

export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}
