/** `api-keys.json` of a keys folder: hashes of keys, never keys. Read strictly, replaced whole, changed by one at a time. */
import { lstat, open, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import {
  isProcessAlive,
  makeFolders,
  readSummedJson,
  summedJson,
  SumMismatchError,
  writeFileAtomic,
} from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import { ApiKeysBusyError } from './api-key-errors.ts'
import { DamagedKeyFileError, KeyFileAccessError, LooseKeyFileError } from './errors.ts'

export const API_KEY_SCOPES = ['generate', 'read', 'admin'] as const
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number]

/** More keys than a home has users; each is hashed against at every request. */
export const MAX_API_KEYS = 1_000
export const MAX_API_KEY_NAME = 64
/** A thousand records of near 300 bytes. */
const MAX_FILE_BYTES = 1 << 20

const record = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: z.string().min(1).max(MAX_API_KEY_NAME),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(z.enum(API_KEY_SCOPES)).min(1),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime().nullable(),
})

const file = z.strictObject({ schema: z.literal('weft.api-keys/1'), keys: z.array(record).max(MAX_API_KEYS) })

export type ApiKeyRecord = z.output<typeof record>

/** What changes whenever the file is replaced, also by another process; null where there is none. */
export async function apiKeyFileStamp(path: string): Promise<string | null> {
  try {
    const stats = await lstat(path)
    if (!stats.isFile()) throw new DamagedKeyFileError(path, 'it is not a plain file')
    if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) throw new LooseKeyFileError(path, stats.mode)
    if (stats.size > MAX_FILE_BYTES) throw new DamagedKeyFileError(path, `it has ${stats.size} bytes`)
    return `${stats.ino} ${stats.size} ${stats.mtimeMs}`
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    if (error instanceof DamagedKeyFileError || error instanceof LooseKeyFileError) throw error
    throw new KeyFileAccessError(path, 'read', error)
  }
}

/** @throws DamagedKeyFileError, LooseKeyFileError, KeyFileAccessError */
export async function readApiKeyFile(path: string): Promise<readonly ApiKeyRecord[]> {
  if ((await apiKeyFileStamp(path)) === null) return []
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new KeyFileAccessError(path, 'read', error)
  })
  return parseKeys(path, text)
}

function parseKeys(path: string, text: string): readonly ApiKeyRecord[] {
  try {
    return file.parse(readSummedJson(text)).keys
  } catch (error) {
    throw new DamagedKeyFileError(path, error instanceof SumMismatchError ? error.message : 'it is no list of API keys')
  }
}

/** Reads, changes and replaces the list while no other process does. */
export async function changeApiKeyFile(
  clock: Clock,
  path: string,
  change: (keys: readonly ApiKeyRecord[]) => readonly ApiKeyRecord[],
): Promise<void> {
  await makeFolders(dirname(path), 0o700).catch((error: unknown) => {
    throw new KeyFileAccessError(path, 'write', error)
  })
  const unlock = await lock(clock, `${path}.lock`)
  try {
    const keys = change(await readApiKeyFile(path))
    await writeFileAtomic(path, summedJson({ schema: 'weft.api-keys/1', keys }), { mode: 0o600 })
  } finally {
    await unlock()
  }
}

/** A change takes milliseconds; whoever holds the lock for longer hangs. */
const LOCK_WAIT_MS = 5_000
const LOCK_STEP_MS = 20

async function lock(clock: Clock, path: string): Promise<() => Promise<void>> {
  const deadline = clock.now() + LOCK_WAIT_MS
  for (;;) {
    if (await tryLock(path)) return () => rm(path, { force: true })
    if (await isAbandonedLock(path)) await rm(path, { force: true })
    else if (clock.now() > deadline) throw new ApiKeysBusyError(path)
    else await clock.sleep(LOCK_STEP_MS)
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600)
    await handle.writeFile(String(process.pid))
    await handle.close()
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw new KeyFileAccessError(path, 'write', error)
  }
}

/** Its process is gone. A lock that names none yet is being written. */
async function isAbandonedLock(path: string): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return /^\d{1,10}$/.test(text) && !isProcessAlive(Number(text))
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}
