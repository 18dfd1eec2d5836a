/**
 * A disk in memory: what `node:fs` and `node:fs/promises` are to the peers of a simulation (hooks.ts puts it in their
 * place). All that is done to it is done at once, so that no thread of the system decides who is first. Outside `/sim`
 * the package's own files are read as they are, and nothing is written.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'

export const ROOT = '/sim'
/** Read by the product to know when a machine was started. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id'

export interface FileNode {
  readonly kind: 'file'
  readonly inode: number
  bytes: Uint8Array
  size: number
  mode: number
  modified: number
}

export interface FolderNode {
  readonly kind: 'folder'
  readonly inode: number
  readonly entries: Map<string, Node>
  mode: number
  modified: number
}

export type Node = FileNode | FolderNode

/** Without a stack, as those of the system, and because a home is asked for much that it does not have. */
export function failure(code: string, path: string): NodeJS.ErrnoException {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = new Error(`${code}: ${path}`)
  Error.stackTraceLimit = stackTraceLimit
  return Object.assign(error, { code, path })
}

let inodes = 1
/** Milliseconds since 1970, of the virtual clock. */
let wall = (): number => 0
const root: FolderNode = folder()

export function setDiskClock(read: () => number): void {
  wall = read
}

function folder(): FolderNode {
  return { kind: 'folder', inode: inodes++, entries: new Map(), mode: 0o700, modified: wall() }
}

export function isOurs(path: string): boolean {
  return path === ROOT || path.startsWith(`${ROOT}/`)
}

function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

export function find(path: string): Node | undefined {
  let node: Node | undefined = root
  for (const part of parts(path)) node = node?.kind === 'folder' ? node.entries.get(part) : undefined
  return node
}

/** @throws ENOENT */
export function existing(path: string): Node {
  const node = find(path)
  if (node === undefined) throw failure('ENOENT', path)
  return node
}

/** @throws ENOENT, EISDIR */
export function existingFile(path: string): FileNode {
  const node = existing(path)
  if (node.kind === 'folder') throw failure('EISDIR', path)
  return node
}

/** @throws ENOENT, ENOTDIR */
export function existingFolder(path: string): FolderNode {
  const node = existing(path)
  if (node.kind === 'file') throw failure('ENOTDIR', path)
  return node
}

export function split(path: string): readonly [folder: string, name: string] {
  const all = parts(path)
  const name = all.pop() ?? ''
  return [`/${all.join('/')}`, name]
}

export function makeFolder(path: string, recursive: boolean): string | undefined {
  let node: FolderNode = root
  let made: string | undefined
  let at = ''
  const all = parts(path)
  for (const [index, part] of all.entries()) {
    at += `/${part}`
    const next = node.entries.get(part)
    if (next?.kind === 'folder') {
      if (index === all.length - 1 && !recursive) throw failure('EEXIST', path)
      node = next
      continue
    }
    if (next !== undefined) throw failure('ENOTDIR', path)
    if (!recursive && index < all.length - 1) throw failure('ENOENT', path)
    const fresh = folder()
    node.entries.set(part, fresh)
    node.modified = wall()
    made ??= at
    node = fresh
  }
  return made
}

/** @throws ENOENT when its folder is not there */
export function link(path: string, node: Node): void {
  const [parent, name] = split(path)
  const into = existingFolder(parent)
  into.entries.set(name, node)
  into.modified = wall()
}

export function unlink(path: string): void {
  const [parent, name] = split(path)
  const from = find(parent)
  if (from?.kind !== 'folder' || !from.entries.delete(name)) throw failure('ENOENT', path)
  from.modified = wall()
}

export function newFile(path: string, mode: number): FileNode {
  const file: FileNode = { kind: 'file', inode: inodes++, bytes: new Uint8Array(0), size: 0, mode, modified: wall() }
  link(path, file)
  return file
}

export function writeAt(file: FileNode, bytes: Uint8Array, position: number): void {
  const end = position + bytes.length
  // Content that was put here whole is shared by all homes that have it, so it is never changed in place.
  const grown = new Uint8Array(Math.max(file.size, end))
  grown.set(file.bytes.subarray(0, file.size))
  grown.set(bytes, position)
  file.bytes = grown
  file.size = grown.length
  file.modified = wall()
}

export function replace(file: FileNode, bytes: Uint8Array): void {
  file.bytes = bytes
  file.size = bytes.length
  file.modified = wall()
}

/** Content by reference: many homes may hold the same. */
export function place(path: string, bytes: Uint8Array, mode = 0o600): void {
  makeFolder(split(path)[0], true)
  replace(newFile(path, mode), bytes)
}

/** What is read outside of the simulation: the package's own files; of the machine nothing but a fixed start. */
export function readOutside(path: string): Uint8Array {
  if (path === BOOT_ID) return Buffer.from('00000000-0000-4000-8000-000000000000\n')
  if (path.startsWith('/proc') || path.startsWith('/sys')) throw failure('ENOENT', path)
  return readFileSync(path)
}

export function listOutside(path: string): { name: string; isFolder: boolean }[] {
  if (path.startsWith('/proc') || path.startsWith('/sys')) throw failure('ENOENT', path)
  return readdirSync(path, { withFileTypes: true })
    .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
}

export function statOutside(path: string): Node {
  const stats = lstatSync(path)
  if (stats.isDirectory()) return { ...folder(), modified: 0 }
  return { kind: 'file', inode: 0, bytes: new Uint8Array(0), size: stats.size, mode: stats.mode, modified: 0 }
}

/** All files of one folder under another, content by reference. */
export function copyTree(from: string, to: string): void {
  makeFolder(to, true)
  for (const [name, node] of existingFolder(from).entries) {
    if (node.kind === 'folder') copyTree(`${from}/${name}`, `${to}/${name}`)
    else place(`${to}/${name}`, node.bytes.subarray(0, node.size), node.mode)
  }
}

export function unlinkIfThere(path: string): void {
  if (find(path) !== undefined) unlink(path)
}

export function wipe(path: string): void {
  const node = find(path)
  if (node?.kind === 'folder') node.entries.clear()
}
