/** Bytes that can be read anywhere: what the readers of model files ask for. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { ModelFileError, SourceFileError } from '../errors.ts'

export interface RandomAccess {
  /** Bytes in all. */
  readonly size: number
  /** Exactly `length` bytes at `offset`. @throws ModelFileError when they are not there */
  read(offset: number, length: number): Promise<Uint8Array>
  /** As `read`, into all of `bytes`. */
  fill(bytes: Uint8Array, offset: number): Promise<void>
  /** @throws ModelFileError when the bytes may have changed since it was opened */
  unchanged(): Promise<void>
  close(): Promise<void>
}

/**
 * A regular file, wherever links lead to it.
 * @throws SourceFileError when it cannot be read or is no regular file
 */
export async function openFileAccess(path: string): Promise<RandomAccess> {
  // Non-blocking: opening a named pipe would otherwise wait for a writer, for ever.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw new SourceFileError(path, cause instanceof Error ? cause.message : String(cause), cause)
  })
  const first = await handle.stat()
  if (!first.isFile()) {
    await handle.close()
    throw new SourceFileError(path, 'it is no regular file')
  }
  const inside = (offset: number, length: number): void => {
    if (offset >= 0 && length >= 0 && offset + length <= first.size) return
    throw new ModelFileError('file', `it ends at byte ${first.size}, before ${offset + length}`)
  }
  const fill = async (bytes: Uint8Array, offset: number): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, offset + at)
      if (bytesRead === 0) throw new ModelFileError('file', `it was cut to ${offset + at} bytes while it was read`)
      at += bytesRead
    }
  }
  return {
    size: first.size,
    async read(offset, length) {
      inside(offset, length)
      const bytes = new Uint8Array(length)
      await fill(bytes, offset)
      return bytes
    },
    async fill(bytes, offset) {
      inside(offset, bytes.length)
      await fill(bytes, offset)
    },
    async unchanged() {
      const now = await handle.stat()
      if (now.size !== first.size || now.mtimeMs !== first.mtimeMs) {
        throw new ModelFileError('file', 'it was changed while it was read')
      }
    },
    close: () => handle.close(),
  }
}

/** Bytes in memory, for tests and small files. */
export function memoryAccess(bytes: Uint8Array): RandomAccess {
  const part = (offset: number, length: number): Uint8Array => {
    if (offset < 0 || length < 0 || offset + length > bytes.length) {
      throw new ModelFileError('file', `it ends at byte ${bytes.length}, before ${offset + length}`)
    }
    return bytes.subarray(offset, offset + length)
  }
  return {
    size: bytes.length,
    async read(offset, length) {
      return part(offset, length).slice()
    },
    async fill(into, offset) {
      into.set(part(offset, into.length))
    },
    unchanged: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}
