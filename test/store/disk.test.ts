import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  addressOfHashes,
  availableBytes,
  CHUNK_BYTES,
  createBlobStore,
  DiskFullError,
  writeFileAtomic,
} from '../../src/store/index.ts'
import { sha256 } from '../../src/store/address.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-disk-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

it('a full disk is told with what was wanted, where that is known', () => {
  const told = (needed: number): string => new DiskFullError('/small', needed, 10).message
  expect([told(0), told(80)]).toEqual([
    'no room for more at /small: 10 bytes are free',
    'no room for 80 bytes at /small: 10 bytes are free',
  ])
})

describe('writeFileAtomic', () => {
  it('replaces a file whole, with the mode that was asked for', async () => {
    const path = join(base, 'key')
    const umask = process.umask(0)
    try {
      await writeFileAtomic(path, 'one', { mode: 0o600 })
      await writeFileAtomic(path, new Uint8Array([116, 119, 111]), { mode: 0o600 })
    } finally {
      process.umask(umask)
    }
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(base).filter((name) => name !== 'small')).toEqual(['key'])
  })

  it('lets many writers end with the whole text of one of them', async () => {
    const path = join(base, 'many')
    await Promise.all(Array.from({ length: 20 }, (_, n) => writeFileAtomic(path, String(n).repeat(10_000))))
    const text = readFileSync(path, 'utf8')
    expect([...Array(20).keys()].map((n) => String(n).repeat(10_000))).toContain(text)
  })

  it('leaves the old file and no other when it cannot write', async () => {
    await expect(writeFileAtomic(join(base, 'no', 'folder'), 'x')).rejects.toMatchObject({ code: 'WEFT-STO-008' })
    const folder = join(base, 'taken')
    mkdirSync(join(folder, 'name'), { recursive: true })
    await expect(writeFileAtomic(join(folder, 'name'), 'x')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
    expect(readdirSync(folder)).toEqual(['name'])
  })
})

const isRoot = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(process.getuid?.() === 0)('a folder that is read-only (skipped: root may write everywhere)', () => {
  it('is named in the refusal', async () => {
    const folder = join(base, 'read-only')
    mkdirSync(folder)
    chmodSync(folder, 0o500)
    await expect(createBlobStore({ directory: join(folder, 'store') })).rejects.toMatchObject({ code: 'WEFT-STO-008' })
  })
})

/** A file system of 8 MiB, where this process may mount one. */
function mountSmall(): string | null {
  if (!isRoot) return null
  const path = join(base, 'small')
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', path], { stdio: 'ignore' })
    return path
  } catch {
    return null
  }
}

const small = mountSmall()

describe.skipIf(small === null)('a full disk (skipped where no small tmpfs can be mounted: needs root)', () => {
  const files = (): string[] =>
    readdirSync(small!, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)

  beforeAll(() => writeFileSync(join(small!, 'ballast'), new Uint8Array(4 * CHUNK_BYTES)))
  afterAll(() => execFileSync('umount', [small!]))

  it('refuses bytes that cannot fit before it writes them', async () => {
    const store = await createBlobStore({ directory: small! })
    const error = await store.put(new Uint8Array(6 * CHUNK_BYTES)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'WEFT-STO-007', details: { needed: 6 * CHUNK_BYTES } })
    expect(files()).toEqual(['ballast'])
  })

  it('removes what a stream had written when the disk becomes full, and works on', async () => {
    const store = await createBlobStore({ directory: small! })
    async function* endless(): AsyncIterable<Uint8Array> {
      for (let index = 0; index < 50; index++) {
        await Promise.resolve()
        yield new Uint8Array(CHUNK_BYTES).fill(index)
      }
    }
    const error = await store.put(endless()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'WEFT-STO-007' })
    expect(files()).toEqual(['ballast'])
    const { address } = await store.put(new Uint8Array(1000))
    expect(await store.size(address)).toBe(1000)
    await store.remove(address)
  })

  it('stops a transfer that no longer fits and removes its part', async () => {
    const store = await createBlobStore({ directory: small! })
    const chunk = new Uint8Array(CHUNK_BYTES)
    const hashes = Buffer.concat(Array.from({ length: 3 }, () => Buffer.from(sha256(chunk))))
    const tooMany = Buffer.concat(Array.from({ length: 9 }, () => Buffer.from(sha256(chunk))))
    await expect(store.receive(addressOfHashes(tooMany), 9 * CHUNK_BYTES, tooMany)).rejects.toMatchObject({
      code: 'WEFT-STO-007',
    })
    const receiver = await store.receive(addressOfHashes(hashes), 3 * CHUNK_BYTES, hashes)
    await receiver.chunk(0, chunk)
    const filler = join(small!, 'filler')
    writeFileSync(filler, new Uint8Array((await availableBytes(small!)) - 4096))
    await expect(receiver.chunk(1, chunk)).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    expect(files().toSorted()).toEqual(['ballast', 'filler'])
    rmSync(filler)
  })

  it('leaves the old content of a small file', async () => {
    const path = join(small!, 'ledger')
    await writeFileAtomic(path, 'old')
    const big = new Uint8Array(7 * CHUNK_BYTES)
    await expect(writeFileAtomic(path, big)).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    expect(readFileSync(path, 'utf8')).toBe('old')
  })
})
