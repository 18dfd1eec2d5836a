/** Small archives for tests: zip (as wheels are) and gzipped tar (as npm packages are). */
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'

export interface ArchiveFile {
  readonly name: string
  readonly data: Uint8Array
  /** Zip: 0 stored, 8 deflated. */
  readonly method?: number
  /** Zip: what the directory says the size is. */
  readonly size?: number
  /** Tar: the entry's type. */
  readonly type?: string
}

export function zip(files: readonly ArchiveFile[]): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const { name, data, method = 8, size = data.length } of files) {
    const packed = method === 8 ? deflateRawSync(data) : Buffer.from(data)
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt16LE(method, 4)
    fields.writeUInt32LE(crc32(data), 10)
    fields.writeUInt32LE(packed.length, 14)
    fields.writeUInt32LE(size, 18)
    fields.writeUInt16LE(Buffer.byteLength(name), 22)
    const local = Buffer.concat([Buffer.from('PK\u0003\u0004'), fields, Buffer.from(name), packed])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(at, 10)
    directory.push(Buffer.concat([Buffer.from('PK\u0001\u0002\u0014\0', 'latin1'), fields, tail, Buffer.from(name)]))
    parts.push(local)
    at += local.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\u0005\u0006', 'latin1')
  end.writeUInt16LE(files.length, 8)
  end.writeUInt16LE(files.length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, central, end])
}

export function tarHeader(name: string, size: number, type = '0'): Buffer {
  const header = Buffer.alloc(512)
  header.write(name.slice(0, 100))
  header.write('0000644\0', 100)
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  header.write('        ', 148)
  header.write(type, 156)
  header.write('ustar\u000000', 257)
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return header
}

export function tar(files: readonly ArchiveFile[]): Buffer {
  const parts = files.flatMap(({ name, data, type }) => {
    const padding = Buffer.alloc(Math.ceil(data.length / 512) * 512 - data.length)
    return [tarHeader(name, data.length, type), Buffer.from(data), padding]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

export function tgz(files: readonly ArchiveFile[]): Buffer {
  return gzipSync(tar(files))
}
