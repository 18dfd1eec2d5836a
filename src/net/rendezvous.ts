/**
 * Local rendezvous: peers of one user on one machine find each other by files in a folder of the user's, also where
 * multicast does not work (sandboxes, machines without a network). Only file names and public addresses lie there.
 */
import { readlinkSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Logger } from '../telemetry/index.ts'
import type { Clock, RandomSource } from '../util/index.ts'
import { MAX_ANNOUNCEMENT_BYTES } from './announcement.ts'

const LOOK_EVERY_MS = 2_000
/** A file is touched at every look; one that has not been for this long belongs to nobody. */
const STALE_MS = 60_000
const MAX_FILES = 512
const NAME = /^(\d{1,10})-[0-9a-f]{12}\.peer(\.tmp)?$/

export interface RendezvousNeeds {
  readonly clock: Clock
  readonly random: RandomSource
  readonly logger: Logger
  announcement(): Uint8Array | undefined
  heard(bytes: Uint8Array): void
}

export interface Rendezvous {
  stop(): Promise<void>
}

/** The folder of this user; peers in other network or process namespaces of the machine have others. */
export function rendezvousDirectory(): string {
  const base = process.env['XDG_RUNTIME_DIR']
  const place = base === undefined || base === '' ? tmpdir() : base
  return join(place, `weft-peers-${userInfo().uid}${namespaceSuffix()}`)
}

function namespaceSuffix(): string {
  try {
    const number = (kind: string): string => /\d+/.exec(readlinkSync(`/proc/self/ns/${kind}`))?.[0] ?? ''
    return `-${number('net')}-${number('pid')}`
  } catch {
    return ''
  }
}

export function startRendezvous(needs: RendezvousNeeds, directory = rendezvousDirectory()): Rendezvous {
  const { clock } = needs
  const own = `${process.pid}-${Buffer.from(needs.random.bytes(6)).toString('hex')}.peer`
  let stopped = false
  let cancel = (): void => undefined
  let looking: Promise<void> = Promise.resolve()
  let written: Uint8Array | undefined
  const look = async (): Promise<void> => {
    try {
      await ensurePrivate(directory)
      const bytes = needs.announcement()
      if (bytes !== undefined && !sameBytes(bytes, written)) {
        await writeWhole(join(directory, own), bytes)
        written = bytes
      } else if (written !== undefined) {
        const now = new Date(clock.wall())
        await utimes(join(directory, own), now, now)
      }
      for (const bytes of await readOthers(directory, own, clock.wall())) if (!stopped) needs.heard(bytes)
    } catch (error) {
      written = undefined
      needs.logger.debug({ err: error, directory }, 'the local rendezvous cannot be used')
    }
  }
  const lookAgain = (): void => {
    looking = look().then(() => {
      if (!stopped) cancel = clock.after(LOOK_EVERY_MS, lookAgain)
    })
  }
  lookAgain()
  return {
    async stop() {
      stopped = true
      cancel()
      await looking
      await rm(join(directory, own), { force: true }).catch(() => undefined)
      // the last one takes the folder with it
      await rmdir(directory).catch(() => undefined)
    },
  }
}

/** @throws Error when somebody else could write there */
async function ensurePrivate(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const stats = await lstat(directory)
  const foreign = process.getuid !== undefined && stats.uid !== process.getuid()
  if (!stats.isDirectory() || foreign || (stats.mode & 0o022) !== 0) throw new Error('the folder is not private')
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  await writeFile(`${path}.tmp`, bytes, { mode: 0o600 })
  await rename(`${path}.tmp`, path)
}

async function readOthers(directory: string, own: string, wall: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  const names = (await readdir(directory)).filter((name) => NAME.test(name) && !name.startsWith(own))
  for (const name of names.slice(0, MAX_FILES)) {
    const path = join(directory, name)
    const stats = await stat(path).catch(() => undefined)
    if (stats === undefined || !stats.isFile() || stats.size > MAX_ANNOUNCEMENT_BYTES) continue
    if (wall - stats.mtimeMs > STALE_MS || !isRunning(Number(NAME.exec(name)![1]))) {
      await rm(path, { force: true })
      continue
    }
    const bytes = name.endsWith('.tmp') ? undefined : await readFile(path).catch(() => undefined)
    if (bytes !== undefined) found.push(bytes)
  }
  return found
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.from(a).equals(b)
}
