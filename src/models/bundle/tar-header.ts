/**
 * Headers of a plain tar archive: IEEE Std 1003.1, "ustar Interchange Format", and of its pax extended headers the one
 * record that large files need, `size`. Written as few ways as possible, so that equal content gives equal bytes; read
 * strictly, since nobody vouches for the file.
 */
import { BundleFileError } from './errors.ts'

export const TAR_BLOCK = 512
/** Eleven octal digits of `size` end here; beyond it stands a pax record. */
const MOST_OCTAL = 8 ** 11 - 1
/** A size and some times that other tools add. */
export const MAX_PAX_BYTES = 4096
/** Larger than any model. */
const MOST_BYTES = 2 ** 47

export interface TarHeader {
  readonly name: string
  readonly size: number
  /** `file`, or `pax`: records for the entry that follows. */
  readonly kind: 'file' | 'pax'
}

/** What stands before the content of a file: one block, or three where its size needs a record. */
export function tarHeader(name: string, size: number): Uint8Array {
  if (size <= MOST_OCTAL) return ustarBlock(name, size, '0')
  const record = paxRecord('size', String(size))
  const padding = Buffer.alloc(padded(record.length) - record.length)
  return Buffer.concat([ustarBlock(`pax/${name}`, record.length, 'x'), record, padding, ustarBlock(name, 0, '0')])
}

/** Bytes of a content with the padding that follows it. */
export function padded(size: number): number {
  return Math.ceil(size / TAR_BLOCK) * TAR_BLOCK
}

/** Root, no time: who made an archive, and when, is not part of the model. */
function ustarBlock(name: string, size: number, type: '0' | 'x'): Buffer {
  const block = Buffer.alloc(TAR_BLOCK)
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} does not fit into a ustar header`)
  block.write(name, 0, 'utf8')
  block.write('0000644', 100, 'latin1')
  block.write('0000000', 108, 'latin1')
  block.write('0000000', 116, 'latin1')
  block.write(size.toString(8).padStart(11, '0'), 124, 'latin1')
  block.write('00000000000', 136, 'latin1')
  block.write(type, 156, 'latin1')
  block.write('ustar', 257, 'latin1')
  block.write('00', 263, 'latin1')
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (`${length}${rest}`.length !== length) length += 1
  return Buffer.from(`${length}${rest}`)
}

function checksum(block: Uint8Array): number {
  return block.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : byte), 0)
}

/** Is this the first block of a tar archive? No other model format has this word there and the right sum. */
export function isTarHeader(block: Uint8Array): boolean {
  const word = Buffer.from(block.subarray(257, 262)).toString('latin1')
  return block.length === TAR_BLOCK && word === 'ustar' && octal(block.subarray(148, 156)) === checksum(block)
}

/** @throws BundleFileError for anything but a regular file and the records of one */
export function parseTarHeader(block: Uint8Array, at: number): TarHeader {
  if (!isTarHeader(block)) throw new BundleFileError(`byte ${at}`, 'there is no header of an entry')
  const prefix = text(block.subarray(345, 500))
  const base = text(block.subarray(0, 100))
  const name = prefix === '' ? base : `${prefix}/${base}`
  const size = sizeField(block.subarray(124, 136))
  if (!Number.isSafeInteger(size) || size < 0 || size > MOST_BYTES) {
    throw new BundleFileError(shown(name), 'its size cannot be')
  }
  const type = String.fromCharCode(block[156]!)
  if (type === '0' || type === '\0') return { name, size, kind: 'file' }
  if (type === 'x') return { name, size, kind: 'pax' }
  throw new BundleFileError(shown(name), `it is ${KINDS[type] ?? 'an entry of an unknown kind'}, no regular file`)
}

const KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a device',
  '4': 'a device',
  '5': 'a folder',
  '6': 'a named pipe',
  L: 'a long name in the manner of GNU',
  K: 'a long link in the manner of GNU',
  S: 'a sparse file',
  g: 'a header for all entries',
}

/** The size that pax records give the entry after them, or null; times and owners, which other tools write, say nothing. */
export function paxSize(records: Uint8Array): number | null {
  const all = Buffer.from(records).toString('utf8')
  let size: number | null = null
  for (let at = 0; at < all.length;) {
    const match = /^(\d{1,4}) (\w+)=/.exec(all.slice(at, at + 64))
    const length = Number(match?.[1] ?? 0)
    if (match === null || length <= match[0].length || all[at + length - 1] !== '\n') {
      throw new BundleFileError('an extended header', 'it has a malformed record')
    }
    const value = all.slice(at + match[0].length, at + length - 1)
    if (match[2] === 'size') size = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    else if (!HARMLESS.has(match[2]!)) {
      throw new BundleFileError('an extended header', `it sets ${shown(match[2]!)}, which no bundle needs`)
    }
    at += length
  }
  if (size !== null && !(size <= MOST_BYTES)) throw new BundleFileError('an extended header', 'its size cannot be')
  return size
}

const HARMLESS: ReadonlySet<string> = new Set(['mtime', 'atime', 'ctime', 'uid', 'gid', 'uname', 'gname'])

/** Octal, or the base-256 form of GNU and star for what does not fit. */
function sizeField(field: Uint8Array): number {
  if ((field[0]! & 128) === 0) return octal(field)
  return field[0] === 128 ? field.subarray(1).reduce((value, byte) => value * 256 + byte, 0) : Number.NaN
}

function octal(field: Uint8Array): number {
  const digits = text(field).trim()
  return /^[0-7]{1,12}$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8')
}

/** A name of an archive, fit to stand in a message. */
export function shown(name: string): string {
  return JSON.stringify(name.slice(0, 80))
}
