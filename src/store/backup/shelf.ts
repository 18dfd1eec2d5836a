/**
 * The files of a backup folder as they travel: named, each written once and never changed. What keeps them for somebody else sees
 * sealed pieces and how many there are.
 */
import { lstat, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../disk.ts'
import { BackupDamagedError, BackupShelfFullError, BackupShelfTakenError } from './errors.ts'
import { needFolders } from '../folders.ts'

/** Says how the key is made: with another, all the rest is another backup. */
export const SHELF_HEADER = 'weft-backup.json'
const CHUNK = /^chunks\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/
const LIST = /^snapshots\/[0-9TZ-]{1,40}\.weft$/
/** The list of a home with ten thousand files; pieces are far smaller. */
export const MAX_SHELF_FILE = 16 << 20

export function isShelfName(name: string): boolean {
  return name === SHELF_HEADER || CHUNK.test(name) || LIST.test(name)
}

export class BackupShelf {
  readonly directory: string
  readonly #limit: number
  #bytes: Promise<number> | undefined
  /** Files are added one after the other, so that two do not both find the last room. */
  #last: Promise<unknown> = Promise.resolve()

  /** @param limit bytes that may lie there */
  constructor(directory: string, limit: number = Number.MAX_SAFE_INTEGER) {
    this.directory = directory
    this.#limit = limit
  }

  /** In the order in which they may be added: the header first, and lists last, since a list stands for all its pieces. */
  async names(): Promise<readonly string[]> {
    const chunks = await namesIn(this.directory, 'chunks', 2)
    const lists = await namesIn(this.directory, 'snapshots', 1)
    return [...(await namesIn(this.directory, SHELF_HEADER, 0)), ...chunks, ...lists].filter(isShelfName)
  }

  async has(name: string): Promise<boolean> {
    return isShelfName(name) && (await sizeOf(join(this.directory, name))) !== undefined
  }

  /** @throws BackupDamagedError */
  async read(name: string): Promise<Uint8Array> {
    const path = this.#path(name)
    const size = await sizeOf(path)
    if (size === undefined) throw new BackupDamagedError(name, 'is missing')
    if (size > MAX_SHELF_FILE) throw new BackupDamagedError(name, 'is too large')
    return readFile(path)
  }

  /** Whole, durable when it resolves, and never over another. @throws BackupShelfFullError, BackupShelfTakenError, DiskFullError */
  add(name: string, bytes: Uint8Array): Promise<void> {
    const added = this.#last.then(() => this.#add(name, bytes))
    this.#last = added.catch(() => undefined)
    return added
  }

  async #add(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(name)
    if (bytes.length === 0 || bytes.length > MAX_SHELF_FILE) throw new BackupDamagedError(name, 'is empty or too large')
    if (await this.has(name)) {
      // Chunks are named by what is in them; sealed twice they differ, and mean the same.
      if (CHUNK.test(name) || Buffer.compare(await this.read(name), bytes) === 0) return
      throw new BackupShelfTakenError(name)
    }
    const before = await (this.#bytes ??= this.#measure())
    if (before + bytes.length > this.#limit) throw new BackupShelfFullError(this.#limit)
    await needFolders(dirname(path), 0o700)
    await writeFileAtomic(path, bytes, { mode: 0o600 })
    this.#bytes = Promise.resolve(before + bytes.length)
  }

  async bytes(): Promise<number> {
    return (this.#bytes ??= this.#measure())
  }

  async #measure(): Promise<number> {
    let sum = 0
    for (const name of await this.names()) sum += (await sizeOf(join(this.directory, name))) ?? 0
    return sum
  }

  #path(name: string): string {
    if (!isShelfName(name)) throw new BackupDamagedError('a name', 'is none of a backup')
    return join(this.directory, name)
  }
}

async function namesIn(directory: string, name: string, depth: number): Promise<string[]> {
  if (depth === 0) return (await sizeOf(join(directory, name))) === undefined ? [] : [name]
  const inside = await readdir(join(directory, name)).catch((): string[] => [])
  const all = await Promise.all(inside.toSorted().map((each) => namesIn(directory, `${name}/${each}`, depth - 1)))
  return all.flat()
}

/** Of a file, not of what a link names. */
async function sizeOf(path: string): Promise<number | undefined> {
  const stats = await lstat(path).catch(() => undefined)
  return stats?.isFile() === true ? stats.size : undefined
}
