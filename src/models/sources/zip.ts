/** One file of a zip archive (PKWARE APPNOTE 6.3, without zip64): what a Python wheel is. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { malformed } from './archive.ts'

const END_BYTES = 22
/** A comment may follow the end record. */
const MAX_COMMENT = 65_535
const END_MAGIC = 0x06054b50
const CENTRAL_MAGIC = 0x02014b50
const LOCAL_MAGIC = 0x04034b50
const CENTRAL_BYTES = 46
const LOCAL_BYTES = 30
/** Half a million files with names of eighty bytes. */
const MAX_DIRECTORY_BYTES = 1 << 26

interface Entry {
  readonly method: number
  readonly crc: number
  readonly packed: number
  readonly size: number
  readonly at: number
}

/** Copies the entry of this path. False when there is none. @throws FetchError when the archive is malformed */
export async function extractFromZip(
  archive: string,
  entry: string,
  target: string,
  signal: AbortSignal,
): Promise<boolean> {
  const handle = await open(archive, 'r')
  try {
    const { size } = await handle.stat()
    const found = findEntry(await readDirectory(handle, size), entry)
    if (found === null) return false
    const local = await readExactly(handle, found.at, LOCAL_BYTES)
    if (local.readUInt32LE(0) !== LOCAL_MAGIC) throw malformed('an entry has no header')
    const from = found.at + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28)
    if (from + found.packed > size) throw malformed('an entry is outside of the file')
    await unpack(archive, from, found, target, signal)
    return true
  } finally {
    await handle.close()
  }
}

async function readDirectory(handle: FileHandle, size: number): Promise<Buffer> {
  const tail = await readExactly(
    handle,
    Math.max(0, size - END_BYTES - MAX_COMMENT),
    Math.min(size, END_BYTES + MAX_COMMENT),
  )
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END_MAGIC) continue
    const bytes = tail.readUInt32LE(at + 12)
    const offset = tail.readUInt32LE(at + 16)
    if (bytes > MAX_DIRECTORY_BYTES || offset + bytes > size) throw malformed('its directory is outside of the file')
    return readExactly(handle, offset, bytes)
  }
  throw malformed('it is not a zip file')
}

function findEntry(directory: Buffer, name: string): Entry | null {
  for (let at = 0; at + CENTRAL_BYTES <= directory.length;) {
    if (directory.readUInt32LE(at) !== CENTRAL_MAGIC) throw malformed('its directory is damaged')
    const nameLength = directory.readUInt16LE(at + 28)
    const start = at + CENTRAL_BYTES
    if (directory.toString('utf8', start, start + nameLength) === name) {
      const found = {
        method: directory.readUInt16LE(at + 10),
        crc: directory.readUInt32LE(at + 16),
        packed: directory.readUInt32LE(at + 20),
        size: directory.readUInt32LE(at + 24),
        at: directory.readUInt32LE(at + 42),
      }
      if ([found.packed, found.size, found.at].includes(0xffffffff)) throw malformed('zip64 is not read')
      return found
    }
    at = start + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return null
}

async function unpack(archive: string, from: number, entry: Entry, target: string, signal: AbortSignal): Promise<void> {
  if (entry.method !== 0 && entry.method !== 8) throw malformed(`packing method ${entry.method} is not read`)
  const out = await open(target, 'wx')
  try {
    if (entry.size === 0) return
    let done = 0
    let crc = 0
    for await (const chunk of contents(archive, from, entry, signal)) {
      if (done + chunk.length > entry.size) throw malformed('an entry unpacks to more than it says')
      await out.write(chunk, 0, chunk.length, done)
      crc = crc32(chunk, crc)
      done += chunk.length
    }
    if (done !== entry.size || crc !== entry.crc) throw malformed('an entry does not have its checksum')
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) throw malformed(error.message)
    throw error
  } finally {
    await out.close()
  }
}

function contents(archive: string, from: number, entry: Entry, signal: AbortSignal): AsyncIterable<Buffer> {
  const packed = createReadStream(archive, {
    start: from,
    end: from + entry.packed - 1,
    highWaterMark: 1 << 18,
    signal,
  })
  if (entry.method === 0) return packed as AsyncIterable<Buffer>
  const inflate = createInflateRaw({ chunkSize: 1 << 18 })
  packed.on('error', (error) => inflate.destroy(error))
  return packed.pipe(inflate) as AsyncIterable<Buffer>
}

async function readExactly(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw malformed('it is cut')
    done += bytesRead
  }
  return bytes
}
