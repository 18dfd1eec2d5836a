/** All private keys of a folder: how they lie there, and sealing or opening them together. */
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../store/index.ts'
import { KeyFileAccessError, LooseFolderError, LooseKeyFileError } from './errors.ts'
import { readKeyFile } from './key-file.ts'
import { NothingToSealError } from './key-errors.ts'
import { isSealed, openSealed, sealedOwner, sealKey } from './sealed-key.ts'
import type { Passphrase } from './sealed-key.ts'

/** What others may read: pages and public halves. */
const OPEN = /\.(?:md|pub)$/

export interface KeyStatus {
  readonly file: string
  readonly sealed: boolean
  /** Of a sealed key: whose it is. */
  readonly of: string | null
}

/** Of what others may do: write, without the bit that lets each remove their own alone. */
const OTHERS_WRITE = 0o002
const STICKY = 0o1000

/**
 * Nobody but its owner, and the group that its owner gave it to, may put files there or take them away.
 * @throws LooseFolderError
 */
export async function checkFolderModes(folders: readonly string[]): Promise<void> {
  if (process.platform === 'win32') return
  for (const folder of folders) {
    const stats = await lstat(folder).catch(() => undefined)
    if (stats === undefined || (stats.mode & OTHERS_WRITE) === 0 || (stats.mode & STICKY) !== 0) continue
    throw new LooseFolderError(folder, stats.mode)
  }
}

/** Every file in it is for its owner alone. @throws LooseKeyFileError, KeyFileAccessError */
export async function checkKeyModes(directory: string): Promise<void> {
  if (process.platform === 'win32') return
  for (const name of await namesIn(directory)) {
    if (OPEN.test(name)) continue
    const path = join(directory, name)
    const stats = await lstat(path).catch(() => undefined)
    if (stats?.isFile() === true && (stats.mode & 0o077) !== 0) throw new LooseKeyFileError(path, stats.mode)
  }
}

/** Files named `*.key`. @throws LooseKeyFileError, DamagedKeyFileError, KeyFileAccessError */
export async function keyStatus(directory: string): Promise<readonly KeyStatus[]> {
  const found: KeyStatus[] = []
  for (const file of (await namesIn(directory)).filter((name) => name.endsWith('.key')).toSorted()) {
    const path = join(directory, file)
    const content = await readKeyFile(path)
    if (content === undefined) continue
    const sealed = isSealed(content)
    found.push({ file, sealed, of: sealed ? sealedOwner(content, path) : null })
  }
  return found
}

/**
 * Seals all that are open, each replaced whole or not at all; what is sealed must open with the same passphrase, so that one
 * opens them all. Nothing is written before that is known.
 * @param ownerOf whose key an open file is. @param cost of scrypt, for tests
 * @returns the files that were sealed. @throws NothingToSealError, WrongPassphraseError, PassphraseError
 */
export async function sealKeys(
  directory: string,
  passphrase: Passphrase,
  ownerOf: (file: string, content: Uint8Array) => string,
  cost?: number,
): Promise<readonly string[]> {
  const all = await contents(directory)
  const open = all.filter(({ content }) => !isSealed(content))
  if (open.length === 0) throw new NothingToSealError(directory, 'not encrypted')
  for (const { path, content } of all) if (isSealed(content)) await openSealed(content, path, passphrase)
  const sealed = await Promise.all(
    open.map(({ file, content }) => sealKey(content, ownerOf(file, content), passphrase, cost)),
  )
  for (const [index, { path }] of open.entries()) await writeFileAtomic(path, sealed[index]!, { mode: 0o600 })
  return open.map(({ file }) => file)
}

/** Opens all that are sealed. Nothing is written before all are known to open. @throws NothingToSealError, WrongPassphraseError */
export async function unsealKeys(directory: string, passphrase: Passphrase): Promise<readonly string[]> {
  const sealed = (await contents(directory)).filter(({ content }) => isSealed(content))
  if (sealed.length === 0) throw new NothingToSealError(directory, 'encrypted')
  const opened: Uint8Array[] = []
  for (const { content, path } of sealed) opened.push(await openSealed(content, path, passphrase))
  for (const [index, { path }] of sealed.entries()) await writeFileAtomic(path, opened[index]!, { mode: 0o600 })
  return sealed.map(({ file }) => file)
}

async function contents(directory: string): Promise<{ file: string; path: string; content: Uint8Array }[]> {
  const found: { file: string; path: string; content: Uint8Array }[] = []
  for (const file of (await namesIn(directory)).filter((name) => name.endsWith('.key')).toSorted()) {
    const path = join(directory, file)
    const content = await readKeyFile(path)
    if (content !== undefined) found.push({ file, path, content })
  }
  return found
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new KeyFileAccessError(directory, 'read', error)
  })
}
