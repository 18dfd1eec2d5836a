/** Named arrays in a .npz file, or one array in a .npy file, read whole. */
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Readable } from 'node:stream'
import { openPromise } from 'yauzl'
import type { Entry, ZipFile } from 'yauzl'
import { WeftError } from '../../errors.ts'
import { shown } from '../../onnx/index.ts'
import type { AnyTensor } from '../../onnx/index.ts'
import { ArrayFileError, ArrayTooLargeError, ArrayUnreadableError } from '../errors.ts'
import { MAX_ARRAY_BYTES, MAX_ARRAYS, MAX_FILE_BYTES, MAX_HEADER_BYTES, MOST_UNPACKED } from './limits.ts'
import { decodeNpy } from './npy.ts'

const UTF8_NAME = 1 << 11
/** Beside the array itself. */
const MAX_ENTRY_BYTES = MAX_ARRAY_BYTES + 2 * MAX_HEADER_BYTES

/** What `numpy.savez` and `savez_compressed` write: arrays by name, in the file's order. @throws the errors of this room */
export async function readNpz(path: string, signal?: AbortSignal): Promise<ReadonlyMap<string, AnyTensor>> {
  const zip = await openZip(path)
  const arrays = new Map<string, AnyTensor>()
  let total = 0
  try {
    if (zip.entryCount > MAX_ARRAYS) throw new ArrayTooLargeError(shown(path), 'arrays', zip.entryCount, MAX_ARRAYS)
    for await (const entry of explained(path, zip.eachEntry())) {
      signal?.throwIfAborted()
      const name = nameOf(entry, path)
      const where = `${shown(name)} of ${shown(path)}`
      if (arrays.has(name)) throw new ArrayFileError(where, 'the name stands twice')
      total += entry.uncompressedSize
      if (total > MAX_FILE_BYTES) throw new ArrayTooLargeError(shown(path), 'bytes', total, MAX_FILE_BYTES)
      arrays.set(name, decodeNpy(await contents(zip, entry, where, signal), where))
    }
  } finally {
    zip.close()
  }
  return arrays
}

/** One array. @throws the errors of this room */
export async function readNpy(path: string): Promise<AnyTensor> {
  const where = shown(path)
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw new ArrayUnreadableError(path, error)
  })
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new ArrayUnreadableError(path, new Error('it is no regular file'))
    if (stat.size > MAX_ENTRY_BYTES) throw new ArrayTooLargeError(where, 'bytes', stat.size, MAX_ARRAY_BYTES)
    const bytes = new Uint8Array(stat.size)
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, at)
      if (bytesRead === 0) throw new ArrayFileError(where, 'it was cut while it was read')
      at += bytesRead
    }
    return decodeNpy(bytes, where)
  } finally {
    await handle.close()
  }
}

export async function openZip(path: string): Promise<ZipFile> {
  try {
    // Names stay bytes: an array may be called `/a/../b`, which is no path here.
    return await openPromise(path, { autoClose: false, lazyEntries: true, decodeStrings: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw new ArrayUnreadableError(path, error)
    throw malformed(path, error)
  }
}

export async function* explained(path: string, entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  try {
    yield* entries
  } catch (error) {
    throw malformed(path, error)
  }
}

function malformed(path: string, error: unknown): ArrayFileError {
  return new ArrayFileError(shown(path), error instanceof Error ? error.message : String(error))
}

export function nameOf(entry: Entry, path: string): string {
  const raw = Buffer.from(entry.fileName as unknown as Uint8Array)
  const name = raw.toString((entry.generalPurposeBitFlag & UTF8_NAME) === 0 ? 'latin1' : 'utf8')
  if (!name.endsWith('.npy')) throw new ArrayFileError(shown(path), `it holds ${shown(name)}, which is no array`)
  return name.slice(0, -4)
}

/** All of an entry. @throws ArrayFileError, ArrayTooLargeError */
export async function contents(zip: ZipFile, entry: Entry, where: string, signal?: AbortSignal): Promise<Uint8Array> {
  const { uncompressedSize: size } = entry
  if (size > MAX_ENTRY_BYTES) throw new ArrayTooLargeError(where, 'bytes', size, MAX_ARRAY_BYTES)
  const stream = unpacked(zip, entry, where, signal)
  const bytes = new Uint8Array(size)
  let at = 0
  for await (const chunk of stream) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** An entry as it comes; what it should be by its size and its checksum is told at its end. @throws ArrayFileError */
export async function* unpacked(
  zip: ZipFile,
  entry: Entry,
  where: string,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { uncompressedSize: size, compressedSize: packed, compressionMethod: method } = entry
  if (entry.isEncrypted()) throw new ArrayFileError(where, 'it is encrypted')
  if (method !== 0 && method !== 8) throw new ArrayFileError(where, `packing method ${method} is not read`)
  if (size > MOST_UNPACKED * packed) throw new ArrayFileError(where, `${packed} bytes do not unpack to ${size}`)
  let [at, checksum] = [0, 0]
  let stream: Readable | undefined
  try {
    stream = await zip.openReadStreamPromise(entry)
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      signal?.throwIfAborted()
      if (at + chunk.length > size) throw new ArrayFileError(where, 'it unpacks to more than it says')
      at += chunk.length
      checksum = crc32(chunk, checksum)
      yield chunk
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof WeftError) throw error
    throw new ArrayFileError(where, error instanceof Error ? error.message : String(error))
  } finally {
    stream?.destroy()
  }
  if (at !== size || checksum !== entry.crc32) throw new ArrayFileError(where, 'it does not have its checksum')
}
