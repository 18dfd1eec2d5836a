/** The mesh home: its folders, and the lock that keeps two processes from sharing one identity. */
import { constants, existsSync } from 'node:fs'
import { access, link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HalfRestoredError, RESTORING, makeFolders } from '../store/index.ts'
import { socketPath } from '../util/index.ts'
import type { Environment } from '../util/index.ts'
import { HomeBusyError, HomeUnwritableError } from './errors.ts'

export interface HomePaths {
  readonly root: string
  readonly keys: string
  readonly partitions: string
  readonly peers: string
  readonly store: string
  readonly cache: string
  readonly downloads: string
  readonly state: string
  readonly logs: string
  readonly socket: string
  readonly lock: string
}

export function homePaths(root: string, env: Environment): HomePaths {
  const inside = (name: string): string => join(root, name)
  return {
    root,
    keys: inside('keys'),
    partitions: inside('partitions'),
    peers: inside('peers'),
    store: inside('store'),
    cache: inside('cache'),
    downloads: inside('downloads'),
    state: inside('state'),
    logs: inside('logs'),
    socket: socketPath(root, env),
    lock: inside('weft.pid'),
  }
}

/** Makes the folders, for their owner alone. @throws HomeUnwritableError, HalfRestoredError */
export async function prepareHome(paths: HomePaths): Promise<void> {
  try {
    for (const folder of [
      paths.root,
      paths.keys,
      paths.partitions,
      paths.peers,
      paths.store,
      paths.cache,
      paths.state,
      paths.logs,
    ]) {
      await makeFolders(folder, 0o700)
    }
    // A home that is there already may be on a disk that is read-only by now: it is said of the home, not of its log.
    for (const folder of [paths.logs, paths.state]) await access(folder, constants.W_OK)
    if (existsSync(join(paths.root, RESTORING))) throw new HalfRestoredError(paths.root)
  } catch (error) {
    if (error instanceof HalfRestoredError) throw error
    throw new HomeUnwritableError(paths.root, error)
  }
}

/** @returns how to give the home back. @throws HomeBusyError, HomeUnwritableError */
export async function lockHome(paths: HomePaths): Promise<() => Promise<void>> {
  for (let attempt = 0; ; attempt++) {
    try {
      await takeLock(paths.lock)
      return () => rm(paths.lock, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new HomeUnwritableError(paths.root, error)
      const holder = await lockHolder(paths.lock)
      if (holder !== undefined || attempt > 0) throw new HomeBusyError(paths.root, holder ?? 0)
      // Its process has ended without giving the home back: kill -9, or a power cut.
      await rm(paths.lock, { force: true })
    }
  }
}

/** The lock appears with its content: a link to a file that is already written, or not at all (EEXIST). */
async function takeLock(lock: string): Promise<void> {
  const own = `${lock}.${process.pid}`
  await writeFile(own, `${process.pid} ${await startOf(process.pid)}\n`, { mode: 0o600 })
  try {
    await link(own, lock)
  } finally {
    await rm(own, { force: true })
  }
}

/** The process that holds a lock, if it still runs. A number that was given to another process since is not taken for it. */
export async function lockHolder(lock: string): Promise<number | undefined> {
  const text = await readFile(lock, 'utf8').catch(() => '')
  const [pid, started] = text.trim().split(' ')
  const number = Number(pid)
  if (!Number.isSafeInteger(number) || number <= 0) return undefined
  try {
    process.kill(number, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined
  }
  return started === (await startOf(number)) ? number : undefined
}

/** Start time of a process in clock ticks since boot (proc(5), field 22); `-` where the system does not tell. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '-'
}
