/** `policy.json` of a mesh home: believed only where nobody but its owner can have written it. */
import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readAtMost, writeFileAtomic } from '../../store/index.ts'
import type { Policy } from './compile.ts'
import { PolicyAccessError, PolicyFileError } from './errors.ts'
import { readPolicy } from './read.ts'

export const POLICY_FILE = 'policy.json'

/** 256 rules of a thousand peers each would be more; nobody could read such a policy. */
export const MAX_POLICY_BYTES = 1 << 20

/** What changes whenever the file is replaced; null where there is none. @throws PolicyAccessError */
export async function policyStamp(path: string): Promise<string | null> {
  const stats = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new PolicyAccessError(path, (error as Error).message, error)
  })
  if (stats === null) return null
  if (!stats.isFile()) throw new PolicyAccessError(path, 'it is not a plain file')
  const folder = await lstat(dirname(path))
  for (const [name, { mode, uid }] of [
    ['the file', stats],
    ['its folder', folder],
  ] as const) {
    // Windows has no such bits: files there inherit the access list of the user's folder.
    if (process.platform === 'win32') break
    if ((mode & 0o022) !== 0) throw new PolicyAccessError(path, `${name} may be written by other users`)
    if (uid !== 0 && uid !== process.getuid?.()) throw new PolicyAccessError(path, `${name} belongs to another user`)
  }
  if (stats.size > MAX_POLICY_BYTES) throw tooLarge(path)
  return `${stats.ino} ${stats.size} ${stats.mtimeMs}`
}

/** Of any file, wherever it lies. @throws PolicyFileError, PolicyAccessError */
export async function readPolicyFile(path: string): Promise<{ readonly policy: Policy; readonly text: string }> {
  const bytes = await readAtMost(path, MAX_POLICY_BYTES).catch((error: unknown) => {
    throw new PolicyAccessError(path, (error as Error).message, error)
  })
  if (bytes.length > MAX_POLICY_BYTES) throw tooLarge(path)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new PolicyFileError(path, [{ line: 1, column: 1, message: 'it is not UTF-8' }])
  }
  return { policy: readPolicy(text, path), text }
}

/** Whole or not at all, for its owner alone. @throws DiskFullError, StoreUnwritableError */
export function writePolicyFile(path: string, text: string): Promise<void> {
  return writeFileAtomic(path, text, { mode: 0o600 })
}

function tooLarge(path: string): PolicyFileError {
  return new PolicyFileError(path, [{ line: 1, column: 1, message: `it has more than ${MAX_POLICY_BYTES} bytes` }])
}
