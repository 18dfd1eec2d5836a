/**
 * Writes named arrays as `numpy.savez` does: a zip file, stored, each array a .npy (PKWARE APPNOTE 6.3.10, sections 4.3
 * and 4.5.3). Written here and not by a library: those refuse names that look like paths, and `/model/Add_output_0` is
 * what exporters call a tensor.
 */
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import type { AnyTensor } from '../../onnx/index.ts'
import { createTemporary, explainDisk, writeAll } from '../../store/index.ts'
import { ArrayUnwritableError } from '../errors.ts'
import { encodeNpy } from './npy.ts'

/** Sizes and offsets from here on stand in the zip64 fields. */
const LARGE = 0xffffffff
const MAX_NAME_BYTES = 0xffff
const UTF8_NAME = 1 << 11
/** 1980-01-01, the first day that a zip file knows: equal arrays make equal files. */
const DATE = 0x21

interface Written {
  readonly name: Buffer
  readonly crc: number
  readonly size: number
  readonly offset: number
}

/** Whole or not at all. @throws ArrayUnwritableError, DiskFullError, StoreUnwritableError */
export async function writeNpz(path: string, arrays: ReadonlyMap<string, AnyTensor>): Promise<void> {
  const folder = dirname(path)
  let needed = 0
  const temporary = await createTemporary(folder, 'arrays').catch(async (error: unknown) => {
    throw await explainDisk(error, folder, 0)
  })
  try {
    const written: Written[] = []
    let at = 0
    const put = async (bytes: Uint8Array): Promise<void> => {
      needed = bytes.length
      await writeAll(temporary.handle, bytes, at)
      at += bytes.length
    }
    for (const [name, tensor] of arrays) {
      const parts = encodeNpy(name, tensor)
      const entry = {
        name: entryName(name),
        crc: parts.reduce((sum, part) => crc32(part, sum), 0),
        size: parts.reduce((sum, part) => sum + part.length, 0),
        offset: at,
      }
      written.push(entry)
      for (const part of [localHeader(entry), ...parts]) await put(part)
    }
    const start = at
    for (const entry of written) await put(centralHeader(entry))
    await put(endOf(written.length, start, at - start))
    await temporary.commit(path)
  } catch (error) {
    await temporary.discard()
    throw await explainDisk(error, folder, needed)
  }
}

function entryName(name: string): Buffer {
  const bytes = Buffer.from(`${name}.npy`)
  if (bytes.length > MAX_NAME_BYTES) throw new ArrayUnwritableError(name, 'its name is too long for an archive')
  return bytes
}

/** What both headers of an entry have in the middle. */
function common({ name, crc, size }: Written, extra: number, version: number): Buffer {
  const bytes = Buffer.alloc(26)
  bytes.writeUInt16LE(version, 0)
  bytes.writeUInt16LE(name.every((byte) => byte < 0x80) ? 0 : UTF8_NAME, 2)
  bytes.writeUInt16LE(DATE, 8)
  bytes.writeUInt32LE(crc, 10)
  bytes.writeUInt32LE(Math.min(size, LARGE), 14)
  bytes.writeUInt32LE(Math.min(size, LARGE), 18)
  bytes.writeUInt16LE(name.length, 22)
  bytes.writeUInt16LE(extra, 24)
  return bytes
}

const PLAIN = 20
const ZIP64 = 45

function localHeader(entry: Written): Buffer {
  const extra = entry.size >= LARGE ? zip64([entry.size, entry.size]) : Buffer.alloc(0)
  const middle = common(entry, extra.length, extra.length > 0 ? ZIP64 : PLAIN)
  return Buffer.concat([Buffer.from('PK\u0003\u0004', 'latin1'), middle, entry.name, extra])
}

function centralHeader(entry: Written): Buffer {
  const { size, offset } = entry
  const large = [...(size >= LARGE ? [size, size] : []), ...(offset >= LARGE ? [offset] : [])]
  const extra = large.length > 0 ? zip64(large) : Buffer.alloc(0)
  const version = extra.length > 0 ? ZIP64 : PLAIN
  const [made, tail] = [Buffer.alloc(2), Buffer.alloc(14)]
  made.writeUInt16LE(version, 0)
  tail.writeUInt32LE(Math.min(offset, LARGE), 10)
  const middle = common(entry, extra.length, version)
  return Buffer.concat([Buffer.from('PK\u0001\u0002', 'latin1'), made, middle, tail, entry.name, extra])
}

function zip64(values: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length)
  extra.writeUInt16LE(1, 0)
  extra.writeUInt16LE(8 * values.length, 2)
  for (const [index, value] of values.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index)
  return extra
}

function endOf(count: number, start: number, length: number): Buffer {
  const end = Buffer.alloc(22)
  end.write('PK\u0005\u0006', 'latin1')
  end.writeUInt16LE(Math.min(count, 0xffff), 8)
  end.writeUInt16LE(Math.min(count, 0xffff), 10)
  end.writeUInt32LE(Math.min(length, LARGE), 12)
  end.writeUInt32LE(Math.min(start, LARGE), 16)
  if (start < LARGE && count < 0xffff) return end
  const record = Buffer.alloc(56)
  record.write('PK\u0006\u0006', 'latin1')
  record.writeBigUInt64LE(44n, 4)
  record.writeUInt16LE(ZIP64, 12)
  record.writeUInt16LE(ZIP64, 14)
  for (const [index, value] of [count, count, length, start].entries()) {
    record.writeBigUInt64LE(BigInt(value), 24 + 8 * index)
  }
  const locator = Buffer.alloc(20)
  locator.write('PK\u0006\u0007', 'latin1')
  locator.writeBigUInt64LE(BigInt(start + length), 8)
  locator.writeUInt32LE(1, 16)
  return Buffer.concat([record, locator, end])
}
