/**
 * Memory that a process shares with those that read what it makes: a file in the memory of the system, whose name is
 * gone before anybody else is told of it. It ends with the last process that has it open, however that ends. It is read
 * and written, not mapped: Node maps no files, and what is written is refused, not fatal, where memory has run out.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writevSync } from 'node:fs'
import { join } from 'node:path'
import { Blocks } from './blocks.ts'

/** Where Linux has such files. Elsewhere there are none, and values go over sockets. */
export const SHARED_FOLDER = '/dev/shm'
/** statfs(2): a folder on a disk would have everything written to that disk. */
const TMPFS_MAGIC = 0x01021994
/** Far above what the units under way need; a model of which one unit has more goes over the socket. */
export const MAX_SEGMENT_BYTES = 2 ** 30

/** File descriptors of one segment. Who reads has no right to write. */
export interface Segment {
  readonly write: number
  readonly read: number
}

/** @returns null where there is no such memory. */
export function openSegment(folder: string): Segment | null {
  let own: string | undefined
  let write: number | undefined
  try {
    if (statfsSync(folder).type !== TMPFS_MAGIC) return null
    own = mkdtempSync(join(folder, 'weft-'))
    const path = join(own, 'segment')
    write = openSync(path, 'wx+', 0o600)
    return { write, read: openSync(path, 'r') }
  } catch {
    if (write !== undefined) closeSync(write)
    return null
  } finally {
    // At once: nothing is left behind, whoever is killed.
    if (own !== undefined) rmSync(own, { recursive: true, force: true })
  }
}

/** The writing side: tensors of one message in a block, until all who read it have done so. */
export class SegmentWriter {
  readonly #descriptor: number
  readonly #blocks = new Blocks(MAX_SEGMENT_BYTES)

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /** Blocks that are held. */
  get held(): number {
    return this.#blocks.held
  }

  /** @returns where they lie, one after the other; null where there is no room */
  put(parts: readonly Uint8Array[], bytes: number): number | null {
    const offset = this.#blocks.take(bytes)
    if (offset === null) return null
    try {
      if (writevSync(this.#descriptor, parts, offset) === bytes) return offset
    } catch {
      // The system's memory is full: the socket takes them.
    }
    this.#blocks.free(offset)
    return null
  }

  free(offset: number): void {
    this.#blocks.free(offset)
  }
}

/** Fills `into` from `offset`. False where the segment has not so many bytes. @throws what reading does */
export function readSegment(descriptor: number, offset: number, into: Uint8Array): boolean {
  for (let at = 0; at < into.length;) {
    const got = readSync(descriptor, into, at, into.length - at, offset + at)
    if (got === 0) return false
    at += got
  }
  return true
}

/** Memory whose content does not matter yet: zeros would be written for nothing. */
export function unwritten(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
}
