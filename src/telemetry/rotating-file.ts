/**
 * A log file that cannot fill the disk: capped size, a few older files beside it (`weft.log.1`, ...). Writes are
 * synchronous, so that the last lines before a crash are there; no worker thread, so nothing to wait for at the end.
 */
import { chmodSync, closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { LogFileError } from './errors.ts'

export interface LogDestination {
  write(line: string): void
}

export interface RotatingFile extends LogDestination {
  readonly path: string
  /** Lines that could not be written (disk full, folder gone). */
  lost(): number
  close(): void
}

export interface RotatingFileInit {
  readonly path: string
  /** Bytes of one file. @default 5 MiB */
  readonly maxBytes?: number
  /** Files kept, the current one included. @default 3 */
  readonly files?: number
}

const DEFAULT_MAX_BYTES = 5 << 20
const DEFAULT_FILES = 3
/** Logs name peers and addresses: for their owner only. */
const MODE = 0o600

/** @throws LogFileError when the file cannot be opened at all; later failures are counted, never thrown. */
export function createRotatingFile(init: RotatingFileInit): RotatingFile {
  const maxBytes = init.maxBytes ?? DEFAULT_MAX_BYTES
  const files = Math.max(1, init.files ?? DEFAULT_FILES)
  let lost = 0
  let closed = false
  let file: OpenFile | undefined = openFirst(init.path)

  const rotate = (): void => {
    if (file !== undefined) closeSync(file.descriptor)
    file = undefined
    shift(init.path, files)
    file = openLog(init.path)
  }

  return {
    path: init.path,
    lost: () => lost,
    write: (line) => {
      if (closed) return
      const bytes = Buffer.from(line)
      try {
        file ??= openLog(init.path)
        if (file.size > 0 && file.size + bytes.length > maxBytes) rotate()
        writeWhole(file, bytes)
      } catch {
        lost += 1
      }
    },
    close: () => {
      closed = true
      if (file !== undefined) closeSync(file.descriptor)
      file = undefined
    },
  }
}

interface OpenFile {
  readonly descriptor: number
  size: number
}

function openFirst(path: string): OpenFile {
  try {
    return openLog(path)
  } catch (cause) {
    throw new LogFileError(path, cause)
  }
}

function openLog(path: string): OpenFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const descriptor = openSync(path, 'a', MODE)
  chmodSync(path, MODE)
  return { descriptor, size: fstatSync(descriptor).size }
}

function writeWhole(file: OpenFile, bytes: Buffer): void {
  let written = 0
  while (written < bytes.length) written += writeSync(file.descriptor, bytes, written)
  file.size += bytes.length
}

/** `log.1` becomes `log.2`, `log` becomes `log.1`; the oldest goes. */
function shift(path: string, files: number): void {
  const name = (index: number): string => (index === 0 ? path : `${path}.${index}`)
  rmSync(name(files - 1), { force: true })
  for (let index = files - 2; index >= 0; index -= 1) {
    try {
      renameSync(name(index), name(index + 1))
    } catch {
      // That one does not exist yet.
    }
  }
}
