/** The part of `node:fs` that peers use, on the disk in memory: log files, and the package's own. */
import * as real from 'node:fs'
import { promisify } from 'node:util'
import {
  existing,
  find,
  isOurs,
  makeFolder,
  newFile,
  readOutside,
  split,
  unlink,
  link,
  writeAt,
} from './memory-disk.ts'
import type { FileNode } from './memory-disk.ts'

export const { constants, createReadStream, createWriteStream, readlinkSync, realpathSync, writevSync } = real
/** Far above what the system gives. */
const FIRST_DESCRIPTOR = 1_000_000
const files = new Map<number, FileNode>()
let next = FIRST_DESCRIPTOR

export function readFileSync(path: string | URL, encoding?: BufferEncoding): Uint8Array | string {
  const bytes = Buffer.from(readOutside(path instanceof URL ? path.pathname : path))
  return encoding === undefined ? bytes : bytes.toString(encoding)
}

export function openSync(path: string, _flags: string, mode = 0o644): number {
  const node = find(path)
  const file = node?.kind === 'file' ? node : newFile(path, mode)
  files.set(next, file)
  return next++
}

export function closeSync(descriptor: number): void {
  files.delete(descriptor)
}

export function fstatSync(descriptor: number): { size: number } {
  return { size: files.get(descriptor)?.size ?? 0 }
}

/** Shows what the peers log, for whoever looks for a cause. */
const SHOWS_LOGS = process.env['WEFT_SIMULATION_LOGS'] === '1'

/** Logs are read by nobody in a simulation: only their length is kept. */
export function writeSync(descriptor: number, bytes: Uint8Array, offset = 0): number {
  const file = files.get(descriptor)
  if (file === undefined) return real.writeSync(descriptor, bytes, offset)
  if (SHOWS_LOGS) real.writeSync(2, bytes, offset)
  file.size += bytes.length - offset
  return bytes.length - offset
}

export function readSync(
  descriptor: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  const piece = files.get(descriptor)!.bytes.subarray(position, position + length)
  buffer.set(piece, offset)
  return piece.length
}

type ReadDone = (error: null, bytesRead: number) => void

/** Peers take it as a promise alone. */
export const read = Object.assign(
  (...[descriptor, buffer, offset, length, position, done]: [...Parameters<typeof readSync>, ReadDone]): void =>
    done(null, readSync(descriptor, buffer, offset, length, position)),
  {
    [promisify.custom]: (...all: Parameters<typeof readSync>): Promise<{ bytesRead: number; buffer: Uint8Array }> =>
      Promise.resolve({ bytesRead: readSync(...all), buffer: all[1] }),
  },
)

export function mkdirSync(path: string): string | undefined {
  return makeFolder(path, true)
}

export function chmodSync(path: string, mode: number): void {
  existing(path).mode = mode
}

export function renameSync(from: string, to: string): void {
  const node = existing(from)
  link(to, node)
  unlink(from)
}

export function rmSync(path: string, options: { force?: boolean } = {}): void {
  if (find(path) === undefined && options.force === true) return
  unlink(path)
}

export function writeFileSync(path: string, content: Uint8Array): void {
  writeAt(newFile(path, 0o600), content, 0)
}

export function existsSync(path: string): boolean {
  return isOurs(path) ? find(path) !== undefined : real.existsSync(path)
}

export function mkdtempSync(prefix: string): string {
  const [parent] = split(prefix)
  makeFolder(parent, true)
  return prefix
}

export const { appendFileSync, lstatSync, readdirSync, statSync, statfsSync, fdatasyncSync, fsyncSync } = real
