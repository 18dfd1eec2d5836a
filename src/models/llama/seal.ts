/**
 * That a file was read through and found sound is remembered until somebody writes to it or the system is started again:
 * until then its bytes are those that were read, from the page cache or from the same disk.
 */
import { readFile, stat } from 'node:fs/promises'
import { replaceFile } from './replace-file.ts'

const BOOT_ID = '/proc/sys/kernel/random/boot_id'

/**
 * Whether a file is sound: by its seal, or by `verify`, after which it is sealed. What does not let itself be sealed is
 * verified each time.
 * @param seal path of the file that remembers
 * @param meaning what the file is held against
 */
export async function isSealedOr(
  path: string,
  seal: string,
  meaning: string,
  verify: () => Promise<boolean>,
): Promise<boolean> {
  const before = await sealOf(path, meaning)
  if (before !== null && (await readFile(seal, 'utf8').catch(() => null)) === before) return true
  if (!(await verify())) return false
  const isUntouched = before !== null && (await sealOf(path, meaning)) === before
  if (isUntouched) await replaceFile(seal, before).catch(() => undefined)
  return true
}

/** What stays as long as nobody touches the file: its time of change cannot be set back. Null: starts are not told apart. */
async function sealOf(path: string, meaning: string): Promise<string | null> {
  const boot = await readFile(BOOT_ID, 'utf8').catch(() => null)
  if (boot === null) return null
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
  return [boot.trim(), dev, ino, size, mtimeNs, ctimeNs, meaning].join(' ')
}
