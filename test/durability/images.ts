/**
 * What a disk may hold after a power cut. A file system keeps in order nothing but what was synced: bytes of a file by its
 * fsync, names by that of their folder. Of the rest any part may be there, in sectors of 512 bytes.
 */
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const SECTOR = 512

/** One change, as disk.c records it. */
export interface Change {
  readonly kind: 'create' | 'write' | 'truncate' | 'sync' | 'rename' | 'link' | 'unlink' | 'mkdir'
  readonly inode: number
  /** Of a write; of a truncation the length; else the mode. */
  readonly offset: number
  readonly path: string
  readonly to: string
  readonly bytes: Uint8Array
  /** Where its record ends in the journal. */
  readonly end: number
}

const KINDS = {
  c: 'create',
  w: 'write',
  t: 'truncate',
  s: 'sync',
  r: 'rename',
  l: 'link',
  u: 'unlink',
  d: 'mkdir',
} as const

export function readJournal(all: Buffer, from: number, to: number): Change[] {
  const changes: Change[] = []
  for (let at = from; at < to;) {
    const kind = KINDS[String.fromCharCode(all[at]!) as keyof typeof KINDS]
    const [inode, offset] = [Number(all.readBigUInt64LE(at + 1)), Number(all.readBigUInt64LE(at + 9))]
    at += 17
    const parts: Buffer[] = []
    for (let n = 0; n < 3; n++) {
      const length = all.readUInt32LE(at)
      parts.push(all.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    changes.push({
      kind,
      inode,
      offset,
      path: parts[0]!.toString(),
      to: parts[1]!.toString(),
      bytes: parts[2]!,
      end: at,
    })
  }
  return changes
}

/** Of the folder; a name that ends with a slash is a folder. */
export type Image = ReadonlyMap<string, { readonly bytes: Uint8Array; readonly mode: number }>

/** What is kept of all that was not synced. */
export type Fate = 'lost' | 'kept' | 'names without bytes' | 'bytes without names' | { readonly seed: number }

interface FileNode {
  readonly mode: number
  durable: Buffer
  pending: Change[]
}

type Entries = Map<string, number>

interface NameChange {
  readonly folders: readonly number[]
  readonly apply: (folders: Map<number, Entries>) => void
}

export class DiskModel {
  readonly #root: string
  readonly #rootInode: number
  readonly #files = new Map<number, FileNode>()
  readonly #modes = new Map<number, number>()
  readonly #durable = new Map<number, Entries>()
  readonly #current = new Map<number, Entries>()
  #names: NameChange[] = []

  /** What lies in the folder now is on the disk. */
  constructor(root: string) {
    this.#root = root
    this.#rootInode = this.#take(root)
    for (const [inode, entries] of this.#durable) this.#current.set(inode, new Map(entries))
  }

  #take(path: string): number {
    const { ino, mode } = statSync(path)
    const entries: Entries = new Map()
    this.#durable.set(ino, entries)
    this.#modes.set(ino, mode & 0o7777)
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inner = join(path, entry.name)
      if (entry.isDirectory()) entries.set(entry.name, this.#take(inner))
      else {
        const stats = statSync(inner)
        const file = { mode: stats.mode & 0o7777, durable: readFileSync(inner), pending: [] }
        this.#files.set(stats.ino, file)
        entries.set(entry.name, stats.ino)
      }
    }
    return ino
  }

  #folderOf(path: string): number {
    let inode = this.#rootInode
    for (const name of dirname(path).slice(this.#root.length).split('/').filter(Boolean))
      inode = this.#current.get(inode)!.get(name)!
    return inode
  }

  apply(change: Change): void {
    const { kind, inode, path, to, offset } = change
    if (kind === 'sync') return this.#sync(inode)
    if (kind === 'write' || kind === 'truncate') return void this.#files.get(inode)!.pending.push(change)
    const name = path.slice(path.lastIndexOf('/') + 1)
    const other = to.slice(to.lastIndexOf('/') + 1)
    const folder = this.#folderOf(path)
    if (kind === 'create') this.#files.set(inode, { mode: offset, durable: Buffer.alloc(0), pending: [] })
    if (kind === 'mkdir') for (const folders of [this.#durable, this.#current]) folders.set(inode, new Map())
    if (kind === 'mkdir') this.#modes.set(inode, offset)
    if (kind === 'create' || kind === 'mkdir') return this.#name([folder], (all) => all.get(folder)!.set(name, inode))
    if (kind === 'unlink') return this.#name([folder], (all) => all.get(folder)!.delete(name))
    const target = this.#folderOf(to)
    this.#name([folder, target], (all) => {
      if (kind === 'rename') all.get(folder)!.delete(name)
      all.get(target)!.set(other, inode)
    })
  }

  #name(folders: readonly number[], apply: NameChange['apply']): void {
    apply(this.#current)
    this.#names.push({ folders, apply })
  }

  #sync(inode: number): void {
    const file = this.#files.get(inode)
    if (file !== undefined) {
      file.durable = applied(file, () => true)
      file.pending = []
      return
    }
    for (const { apply } of this.#names.filter(({ folders }) => folders.includes(inode))) apply(this.#durable)
    this.#names = this.#names.filter(({ folders }) => !folders.includes(inode))
  }

  /** What is found when the power comes back. */
  image(fate: Fate): Image {
    const coin = typeof fate === 'object' ? coins(fate.seed) : undefined
    const keepsNames = fate === 'kept' || fate === 'names without bytes'
    const keepsBytes = fate === 'kept' || fate === 'bytes without names'
    const folders = new Map([...this.#durable].map(([inode, entries]) => [inode, new Map(entries)]))
    for (const { apply } of this.#names) if (coin?.() ?? keepsNames) apply(folders)
    const image = new Map<string, { bytes: Uint8Array; mode: number }>()
    const walk = (inode: number, at: string): void => {
      for (const [name, inner] of folders.get(inode)!) {
        const file = this.#files.get(inner)
        if (file !== undefined && !folders.has(inner)) {
          image.set(at + name, { bytes: applied(file, coin ?? (() => keepsBytes)), mode: file.mode })
        } else {
          image.set(`${at}${name}/`, { bytes: Buffer.alloc(0), mode: this.#modes.get(inner)! })
          walk(inner, `${at}${name}/`)
        }
      }
    }
    walk(this.#rootInode, '')
    return image
  }
}

/** @param keeps asked for each sector of each write, in order */
function applied({ durable, pending }: FileNode, keeps: () => boolean): Buffer {
  let content: Buffer = Buffer.from(durable)
  for (const { kind, offset, bytes } of pending) {
    if (kind === 'truncate') {
      if (keeps()) content = sized(content, offset)
      continue
    }
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + SECTOR - ((offset + at) % SECTOR))
      if (keeps()) {
        content = sized(content, Math.max(content.length, offset + end))
        content.set(bytes.subarray(at, end), offset + at)
      }
      at = end
    }
  }
  return content
}

function sized(content: Buffer, length: number): Buffer {
  return content.length >= length ? content.subarray(0, length) : Buffer.concat([content], length)
}

/** Fair, and the same for a seed. */
function coins(seed: number): () => boolean {
  let state = (seed * 2_654_435_761 + 1) >>> 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return (state & 0x10) !== 0
  }
}

export function imageHash(image: Image): string {
  const hash = createHash('sha256')
  for (const name of [...image.keys()].sort())
    hash.update(`${name}\n${image.get(name)!.bytes.length}\n`).update(image.get(name)!.bytes)
  return hash.digest('hex')
}

/** The folder holds this, and nothing else. */
export function materialise(image: Image, folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  for (const [name, { bytes, mode }] of image) {
    const path = join(folder, name)
    if (name.endsWith('/')) mkdirSync(path)
    else writeFileSync(path, bytes)
    chmodSync(path, mode)
  }
}

export function imageOf(folder: string): Image {
  return new DiskModel(folder).image('kept')
}
