/** The part of `node:fs/promises` that peers use, on the disk in memory; what is missing here is missing loudly. */
import { constants } from 'node:fs'
import {
  existing,
  existingFile,
  existingFolder,
  failure,
  find,
  isOurs,
  link as linkNode,
  listOutside,
  makeFolder,
  newFile,
  readOutside,
  replace,
  statOutside,
  unlink as unlinkNode,
  writeAt,
} from './memory-disk.ts'
import type { FileNode, Node } from './memory-disk.ts'

type Encoding = string | { readonly encoding?: string | null; readonly signal?: AbortSignal } | null | undefined

class Stats {
  readonly dev: number | bigint
  readonly ino: number | bigint
  readonly size: number | bigint
  readonly mode: number
  readonly mtimeMs: number | bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly mtime: Date
  readonly atime: Date
  readonly #kind: Node['kind']

  constructor(node: Node, bigint: boolean) {
    const size = node.kind === 'file' ? node.size : 0
    const shown = (value: number): number | bigint => (bigint ? BigInt(Math.floor(value)) : value)
    this.dev = shown(1)
    this.ino = shown(node.inode)
    this.size = shown(size)
    this.mode = node.mode
    this.mtimeMs = shown(node.modified)
    this.mtimeNs = BigInt(Math.floor(node.modified * 1000)) * 1000n
    this.ctimeNs = this.mtimeNs
    this.mtime = new Date(node.modified)
    this.atime = this.mtime
    this.#kind = node.kind
  }

  isFile(): boolean {
    return this.#kind === 'file'
  }

  isDirectory(): boolean {
    return this.#kind === 'folder'
  }

  isSymbolicLink(): boolean {
    return false
  }
}

class Handle {
  readonly #node: Node
  #position = 0

  constructor(node: Node) {
    this.#node = node
  }

  get #file(): FileNode {
    if (this.#node.kind === 'folder') throw failure('EISDIR', '')
    return this.#node
  }

  async read(
    buffer: Uint8Array,
    offset = 0,
    length = buffer.length - offset,
    position: number | null = null,
  ): Promise<{ bytesRead: number; buffer: Uint8Array }> {
    const at = position ?? this.#position
    const piece = this.#file.bytes.subarray(at, Math.min(this.#file.size, at + length))
    buffer.set(piece, offset)
    if (position === null) this.#position += piece.length
    return { bytesRead: piece.length, buffer }
  }

  async write(
    bytes: Uint8Array,
    offset = 0,
    length = bytes.length - offset,
    position: number | null = null,
  ): Promise<{ bytesWritten: number }> {
    const at = position ?? this.#position
    writeAt(this.#file, bytes.subarray(offset, offset + length), at)
    if (position === null) this.#position += length
    return { bytesWritten: length }
  }

  async writeFile(content: string | Uint8Array): Promise<void> {
    replace(this.#file, bytesOf(content))
  }

  async appendFile(content: string | Uint8Array): Promise<void> {
    writeAt(this.#file, bytesOf(content), this.#file.size)
  }

  async readFile(encoding?: Encoding): Promise<Uint8Array | string> {
    return shown(this.#file.bytes, encoding)
  }

  async stat(options: { bigint?: boolean } = {}): Promise<Stats> {
    return new Stats(this.#node, options.bigint === true)
  }

  async truncate(length = 0): Promise<void> {
    replace(this.#file, this.#file.bytes.slice(0, length))
  }

  async chmod(mode: number): Promise<void> {
    this.#node.mode = mode
  }

  async sync(): Promise<void> {}
  async datasync(): Promise<void> {}
  async close(): Promise<void> {}
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? Buffer.from(content) : content.slice()
}

function shown(bytes: Uint8Array, encoding: Encoding): Uint8Array | string {
  const name = typeof encoding === 'string' ? encoding : encoding?.encoding
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return name === undefined || name === null ? Buffer.from(buffer) : buffer.toString(name as BufferEncoding)
}

export async function readFile(path: string, encoding?: Encoding): Promise<Uint8Array | string> {
  return shown(isOurs(path) ? existingFile(path).bytes : readOutside(path), encoding)
}

export async function writeFile(
  path: string,
  content: string | Uint8Array,
  options: { mode?: number; flag?: string } = {},
): Promise<void> {
  const before = find(path)
  if (before !== undefined && options.flag === 'wx') throw failure('EEXIST', path)
  const file = before?.kind === 'file' ? before : newFile(path, options.mode ?? 0o644)
  replace(file, bytesOf(content))
}

export async function open(path: string, flags: string | number = 'r', mode = 0o644): Promise<Handle> {
  if (!isOurs(path)) throw failure('EACCES', path)
  const node = find(path)
  const makes = typeof flags === 'number' ? (flags & constants.O_CREAT) !== 0 : /^[wa]/.test(flags)
  const isNew = typeof flags === 'number' ? (flags & constants.O_EXCL) !== 0 : flags.includes('x')
  if (node !== undefined && isNew) throw failure('EEXIST', path)
  if (node === undefined) {
    if (!makes) throw failure('ENOENT', path)
    return new Handle(newFile(path, mode))
  }
  if (typeof flags === 'string' && flags.startsWith('w') && node.kind === 'file') replace(node, new Uint8Array(0))
  return new Handle(node)
}

export async function stat(path: string, options: { bigint?: boolean } = {}): Promise<Stats> {
  return new Stats(isOurs(path) ? existing(path) : statOutside(path), options.bigint === true)
}

export const lstat = stat

export async function readdir(path: string, options: { withFileTypes?: boolean } = {}): Promise<unknown[]> {
  const entries = isOurs(path)
    ? [...existingFolder(path).entries].map(([name, node]) => ({ name, isFolder: node.kind === 'folder' }))
    : listOutside(path)
  if (options.withFileTypes !== true) return entries.map(({ name }) => name)
  return entries.map(({ name, isFolder }) => ({
    name,
    parentPath: path,
    isDirectory: () => isFolder,
    isFile: () => !isFolder,
    isSymbolicLink: () => false,
  }))
}

export async function mkdir(path: string, options: { recursive?: boolean } = {}): Promise<string | undefined> {
  return makeFolder(path, options.recursive === true)
}

export async function rm(path: string, options: { force?: boolean; recursive?: boolean } = {}): Promise<void> {
  const node = find(path)
  if (node === undefined && options.force === true) return
  if (node?.kind === 'folder' && options.recursive !== true) throw failure('ERR_FS_EISDIR', path)
  unlinkNode(path)
}

export async function rmdir(path: string): Promise<void> {
  if (existingFolder(path).entries.size > 0) throw failure('ENOTEMPTY', path)
  unlinkNode(path)
}

export async function unlink(path: string): Promise<void> {
  existingFile(path)
  unlinkNode(path)
}

export async function rename(from: string, to: string): Promise<void> {
  const node = existing(from)
  linkNode(to, node)
  if (from !== to) unlinkNode(from)
}

export async function link(from: string, to: string): Promise<void> {
  const node = existingFile(from)
  if (find(to) !== undefined) throw failure('EEXIST', to)
  linkNode(to, node)
}

export async function chmod(path: string, mode: number): Promise<void> {
  existing(path).mode = mode
}

export async function utimes(path: string, _accessed: Date, modified: Date): Promise<void> {
  existing(path).modified = modified.getTime()
}

export async function truncate(path: string, length = 0): Promise<void> {
  const file = existingFile(path)
  replace(file, file.bytes.slice(0, length))
}

export async function realpath(path: string): Promise<string> {
  existing(path)
  return path
}

/** A disk of a terabyte, half of it free. */
export async function statfs(): Promise<{ bsize: number; blocks: number; bavail: number; bfree: number }> {
  const blocks = 2 ** 28
  return { bsize: 4096, blocks, bavail: blocks / 2, bfree: blocks / 2 }
}

export async function mkdtemp(prefix: string): Promise<string> {
  for (let number = 1; ; number++) {
    const path = `${prefix}${String(number).padStart(6, '0')}`
    if (find(path) !== undefined) continue
    makeFolder(path, true)
    return path
  }
}

export async function copyFile(from: string, to: string): Promise<void> {
  replace(newFile(to, 0o644), existingFile(from).bytes)
}

export async function access(path: string): Promise<void> {
  existing(path)
}

export async function appendFile(path: string, content: Uint8Array | string): Promise<void> {
  const node = find(path)
  const file = node === undefined ? newFile(path, 0o644) : existingFile(path)
  replace(file, Buffer.concat([file.bytes, Buffer.from(content as string)]))
}
