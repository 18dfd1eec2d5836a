/**
 * The folder that partitions go into. Everything is written in a folder of its own inside it and moved into place when
 * it is complete, `manifest.json` last: where that stands, the files that it names are whole.
 */
import { mkdir, open, readdir, readFile, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { availableBytes, DiskFullError, isProcessAlive, makeFolders } from '../../store/index.ts'
import { SplitTargetError, SplitUnwritableError } from './errors.ts'
import { SPLIT_SCHEMA } from './types.ts'

export const MANIFEST = 'manifest.json'

/** Only files of these names are ever replaced or removed. */
const PARTITION_FILE = /^partition-\d+\.onnx(\.data)?$/
const STAGING = /^\.weft-split-(\d{1,10})-\d{1,10}$/
/** A manifest of 1,026 partitions with nine-layer lists stays far below it. */
const MAX_MANIFEST_BYTES = 1 << 24
/** Folders that this process is splitting into, by their real paths. */
const live = new Set<string>()

export interface SplitDirectory {
  /** Where the files are written. */
  readonly staging: string
  /** Moves the files, and the manifest after them, into place; what an earlier split left goes away. */
  commit(files: readonly string[]): Promise<void>
  /** Leaves the folder as it was found; harmless after `commit`. */
  discard(): Promise<void>
}

/** @throws SplitTargetError, SplitUnwritableError */
export async function openSplitDirectory(out: string): Promise<SplitDirectory> {
  const made = await explained(out, 0, () => makeFolder(out))
  const root = await explained(out, 0, () => realpath(out))
  if (live.has(root)) throw busy(root, process.pid)
  live.add(root)
  const release = async (): Promise<void> => {
    live.delete(root)
    await removeMade(out, made)
  }
  let claimed: Claim
  try {
    claimed = await explained(out, 0, () => claim(root))
  } catch (error) {
    await release()
    throw error
  }
  const { staging, leftovers } = claimed
  let committing = false
  return {
    staging,
    async commit(files) {
      // From here on the staging folder is what a later run goes by, should this one be killed half way.
      committing = true
      try {
        await explained(out, 0, () => moveIn(root, staging, files))
        for (const folder of [staging, ...leftovers]) await rm(folder, { recursive: true, force: true })
      } finally {
        live.delete(root)
      }
    },
    async discard() {
      if (committing) return
      await rm(staging, { recursive: true, force: true })
      await release()
    },
  }
}

/** The topmost folder that had to be made, if any. */
async function makeFolder(out: string): Promise<string | undefined> {
  const there = await stat(out).catch(() => null)
  if (there !== null && !there.isDirectory()) throw new SplitTargetError(out, 'it is not a folder')
  return makeFolders(out)
}

interface Claim {
  readonly staging: string
  /** Folders that killed splits have left. */
  readonly leftovers: readonly string[]
}

/**
 * Makes the staging folder, and looks round only then: of two processes that come at once, each sees the other.
 * @throws SplitTargetError when another process is writing, or the folder holds anything but a split
 */
async function claim(root: string): Promise<Claim> {
  const staging = await makeStaging(root)
  try {
    const leftovers: string[] = []
    const others: string[] = []
    for (const name of await readdir(root)) {
      const path = join(root, name)
      const pid = STAGING.exec(name)?.[1]
      if (pid === undefined) others.push(name)
      else if (Number(pid) !== process.pid && isProcessAlive(Number(pid))) throw busy(root, Number(pid))
      else if (path !== staging) leftovers.push(path)
    }
    const folders = [root, ...leftovers]
    for (const folder of others.length === 0 ? [] : folders) {
      if (await isSplitManifest(join(folder, MANIFEST))) return { staging, leftovers }
    }
    if (others.length > 0) throw new SplitTargetError(root, `it holds other files, ${others[0]!} for one`)
    return { staging, leftovers }
  } catch (error) {
    await rm(staging, { recursive: true, force: true })
    throw error
  }
}

/** A number that is in use is of an earlier process with our pid, whose folder may be all that says what is here. */
async function makeStaging(root: string): Promise<string> {
  for (let number = 0; ; number++) {
    const staging = join(root, `.weft-split-${process.pid}-${number}`)
    try {
      await mkdir(staging)
      return staging
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function busy(out: string, pid: number): SplitTargetError {
  return new SplitTargetError(out, `process ${pid} is writing into it`)
}

async function isSplitManifest(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).size > MAX_MANIFEST_BYTES) return false
    const value = JSON.parse(await readFile(path, 'utf8')) as unknown
    return typeof value === 'object' && value !== null && 'schema' in value && value.schema === SPLIT_SCHEMA
  } catch {
    return false
  }
}

async function moveIn(out: string, staging: string, files: readonly string[]): Promise<void> {
  await rm(join(out, MANIFEST), { force: true })
  for (const file of files) await rename(join(staging, file), join(out, file))
  for (const name of await readdir(out)) {
    if (PARTITION_FILE.test(name) && !files.includes(name)) await rm(join(out, name), { force: true })
  }
  await sync(out)
  await rename(join(staging, MANIFEST), join(out, MANIFEST))
  await sync(out)
}

/** Makes renames durable where the file system can. */
async function sync(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => null)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}

async function removeMade(out: string, made: string | undefined): Promise<void> {
  if (made === undefined) return
  for (let folder = out; folder.startsWith(made); folder = dirname(folder)) {
    if (
      !(await rmdir(folder).then(
        () => true,
        () => false,
      ))
    )
      return
  }
}

/** What the file system refuses, as coded errors. @throws DiskFullError, SplitUnwritableError */
export async function explained<T>(out: string, needed: number, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) {
      throw new DiskFullError(out, needed, await availableBytes(out).catch(() => 0), error)
    }
    if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'EIO', 'ENAMETOOLONG'].includes(code)) {
      throw new SplitUnwritableError(out, error)
    }
    throw error
  }
}
