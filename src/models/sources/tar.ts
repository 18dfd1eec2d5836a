/** One file of a gzipped tar archive (POSIX ustar and pax, GNU long names): what `npm pack` gives. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { malformed, MAX_ENTRY_BYTES } from './archive.ts'

const BLOCK = 512
/** Long names and pax records: paths, not contents. */
const MAX_RECORD_BYTES = 1 << 16

interface Header {
  readonly name: string
  readonly size: number
  readonly type: string
}

/**
 * Copies the entry whose path, less the folder that all entries lie in, is `entry`. False when there is none.
 * @throws FetchError when the archive is malformed
 */
export async function extractFromTar(
  archive: string,
  entry: string,
  target: string,
  signal: AbortSignal,
): Promise<boolean> {
  const file = createReadStream(archive, { signal })
  const gunzip = createGunzip()
  file.on('error', (error) => gunzip.destroy(error))
  file.pipe(gunzip)
  const reader = blockReader(gunzip as AsyncIterable<Buffer>)
  try {
    let longName: string | null = null
    for (;;) {
      const block = await reader.take(BLOCK)
      if (block === null || block.every((byte) => byte === 0)) return false
      const header = parseHeader(block)
      const padded = Math.ceil(header.size / BLOCK) * BLOCK
      if (header.type === 'L' || header.type === 'x') {
        if (header.size > MAX_RECORD_BYTES) throw malformed('a name is too long')
        const record = (await reader.take(padded))?.subarray(0, header.size)
        if (record === undefined) throw malformed('it ends in a name')
        longName = header.type === 'L' ? text(record) : (paxPath(record) ?? longName)
        continue
      }
      const name: string = longName ?? header.name
      longName = null
      if ((header.type === '0' || header.type === '\0') && name.replace(/^[^/]*\//, '') === entry) {
        await copy(reader, header.size, target)
        return true
      }
      if (!(await reader.skip(padded))) throw malformed('it ends in an entry')
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) throw malformed(error.message)
    throw error
  } finally {
    file.destroy()
    gunzip.destroy()
  }
}

function parseHeader(block: Uint8Array): Header {
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
  if (octal(block.subarray(148, 156)) !== sum) throw malformed('a header has a wrong checksum')
  const size = octal(block.subarray(124, 136))
  if (!Number.isSafeInteger(size) || size < 0 || size > MAX_ENTRY_BYTES) throw malformed('an entry has no sane size')
  const prefix = text(block.subarray(257, 262)) === 'ustar' ? text(block.subarray(345, 500)) : ''
  const name = text(block.subarray(0, 100))
  return { name: prefix === '' ? name : `${prefix}/${name}`, size, type: String.fromCharCode(block[156]!) }
}

function octal(field: Uint8Array): number {
  // GNU's base-256 form, for sizes of 8 GiB and more.
  if ((field[0]! & 128) !== 0) return field.subarray(1).reduce((value, byte) => value * 256 + byte, 0)
  const digits = text(field).trim()
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8')
}

/** `<length> path=<value>\n` among other records. */
function paxPath(record: Uint8Array): string | null {
  return /^\d+ path=(.*)$/m.exec(Buffer.from(record).toString('utf8'))?.[1] ?? null
}

interface BlockReader {
  /** Exactly so many bytes, or null at the end. */
  take(length: number): Promise<Uint8Array | null>
  skip(length: number): Promise<boolean>
  /** At most so many bytes: what is there. */
  some(most: number): Promise<Uint8Array | null>
}

function blockReader(source: AsyncIterable<Buffer>): BlockReader {
  const iterator = source[Symbol.asyncIterator]()
  let rest: Uint8Array = new Uint8Array(0)
  const some = async (most: number): Promise<Uint8Array | null> => {
    while (rest.length === 0) {
      const next = await iterator.next()
      if (next.done === true) return null
      rest = next.value
    }
    const piece = rest.subarray(0, most)
    rest = rest.subarray(piece.length)
    return piece
  }
  return {
    some,
    async take(length) {
      const out = new Uint8Array(length)
      for (let at = 0; at < length;) {
        const piece = await some(length - at)
        if (piece === null) return null
        out.set(piece, at)
        at += piece.length
      }
      return out
    },
    async skip(length) {
      for (let left = length; left > 0;) {
        const piece = await some(left)
        if (piece === null) return false
        left -= piece.length
      }
      return true
    },
  }
}

async function copy(reader: BlockReader, size: number, target: string): Promise<void> {
  const handle = await open(target, 'wx')
  try {
    for (let at = 0; at < size;) {
      const piece = await reader.some(size - at)
      if (piece === null) throw malformed('it ends in the file')
      await handle.write(piece, 0, piece.length, at)
      at += piece.length
    }
  } finally {
    await handle.close()
  }
}
