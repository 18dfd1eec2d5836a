/** Bundles that lie: one coded line, nothing in the store, nothing anywhere else. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { importModel, manifestDigest, writeBundle } from '../../src/models/index.ts'
import type { ImportNeeds, ModelManifest } from '../../src/models/index.ts'
import { manifestBytes } from '../../src/models/bundle/layout.ts'
import { readBundle } from '../../src/models/bundle/read-bundle.ts'
import { paxSize, tarHeader } from '../../src/models/bundle/tar-header.ts'
import { openFileAccess } from '../../src/models/readers/random-access.ts'
import { addressOfHashes, createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { bentHeader, bundleOf, largeModel, partsOf, sha256 } from './support/bundles.ts'
import type { BundlePart } from './support/bundles.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-bundle-hostile-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const folder = join(base, 'victim')
let needs: ImportNeeds
let manifest: ModelManifest
let whole: Uint8Array
let parts: readonly BundlePart[]

beforeAll(async () => {
  const gguf = join(base, 'mine.gguf')
  writeFileSync(gguf, writeGguf(tinyLlama({ layers: 1, matrix: 'F32', width: 128, hidden: 2100 })))
  const at = async (home: string): Promise<ImportNeeds> => ({
    store: await createBlobStore({ directory: join(home, 'store') }),
    clock: systemClock(),
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
  })
  const source = await at(join(base, 'source'))
  manifest = await importModel(source, { source: gguf })
  const path = join(base, 'mine.weft')
  await writeBundle(source.store, { manifest, path })
  whole = readFileSync(path)
  parts = partsOf(whole)
  needs = await at(folder)
})

/** Files of the victim's home, and what lies beside it. */
function found(): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return [...files.map(({ name }) => name), ...readdirSync(base).filter((name) => name.startsWith('evil'))]
}

async function attempt(bundle: Uint8Array): Promise<unknown> {
  const path = join(base, 'hostile.weft')
  writeFileSync(path, bundle)
  return importModel(needs, { source: path }).then(
    (imported) => imported,
    (error: unknown) => error,
  )
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
const firstBlob = (): number => parts.findIndex(({ name }) => name.startsWith('blobs/'))
const firstHashes = (): number => parts.findIndex(({ name }) => name.startsWith('hashes/'))
const replaced = (index: number, change: Partial<BundlePart>): BundlePart[] =>
  parts.map((part, at) => (at === index ? { ...part, ...change } : part))
const inserted = (index: number, ...more: BundlePart[]): BundlePart[] => parts.toSpliced(index, 0, ...more)

/** The manifest with a change, and a digest that belongs to it unless it is kept. */
function withManifest(change: Partial<ModelManifest>, keepsDigest = false): BundlePart[] {
  const bent = { ...manifest, ...change }
  return replaced(0, { content: manifestBytes(keepsDigest ? bent : { ...bent, digest: manifestDigest(bent) }) })
}

const evil = '../../evil'
const CASES: readonly (readonly [string, () => Uint8Array, string, RegExp])[] = [
  ['a blob of which a bit is wrong', () => bundleOf(flipped(firstBlob() + 1)), '070', /chunk 0 is not what/],
  ['a second chunk that is wrong', () => bundleOf(flipped(firstHashes() + 1)), '070', /chunk 1 is not what/],
  ['hashes of something else', () => bundleOf(flipped(firstHashes())), '070', /do not give its address/],
  ['a blob less', () => bundleOf(parts.toSpliced(-1)), '070', /is cut|is missing/],
  ['a small blob less', () => bundleOf(parts.toSpliced(smallest(), 1)), '070', /is missing|is cut/],
  ['a blob twice', () => bundleOf(inserted(2, parts[1]!)), '070', /it is there twice/],
  ['a blob that no manifest names', () => bundleOf([...parts, stranger()]), '070', /does not name it/],
  ['a file that climbs', () => bundleOf([...parts, { name: evil, content: bytes('x') }]), '070', /does not name it/],
  ['a file at the root', () => bundleOf([...parts, { name: '/tmp/evil', content: bytes('x') }]), '070', /not name it/],
  ['a prefix that climbs', () => bundleOf(bent(1, { 345: '../..' })), '070', /does not name it/],
  ['a symbolic link', () => bundleOf(bent(1, { 156: '2', 157: '/etc/passwd' })), '070', /a symbolic link/],
  ['a hard link', () => bundleOf(bent(1, { 156: '1', 157: evil })), '070', /a hard link/],
  ['a folder', () => bundleOf(inserted(1, kind('blobs/', '5'))), '070', /a folder/],
  ['a named pipe', () => bundleOf(inserted(1, kind('blobs/pipe', '6'))), '070', /a named pipe/],
  [
    'a name that moves the cursor',
    () => bundleOf([...parts, { name: '\u001B[2Jx', content: bytes('') }]),
    '070',
    /u001b/,
  ],
  ['a long name of GNU', () => bundleOf(inserted(1, kind('././@LongLink', 'L', 9))), '070', /long name/],
  ['a manifest twice', () => bundleOf(inserted(1, parts[0]!)), '070', /does not name it/],
  ['no manifest first', () => bundleOf([parts[1]!, parts[0]!, ...parts.slice(2)]), '070', /first entry is/],
  ['nothing', () => bundleOf([kind('manifest.json', '0')]), '070', /not JSON/],
  ['a manifest of 5 MB', () => bundleOf(replaced(0, { content: Buffer.alloc(5 << 20, 32) })), '070', /are over/],
  ['a manifest that is none', () => bundleOf(replaced(0, { content: bytes('{"schema":1}') })), '006', /schema/],
  ['a digest of another', () => bundleOf(withManifest({ boundary: 'f32' }, true)), '006', /its digest/],
  ['a manifest that names other blobs', () => bundleOf(withManifest({ tokenizer: strange() })), '070', /not name it/],
  ['a tokenizer that is none', () => bundleOf(withTokenizer('[1, 2]')), '', /./],
  ['a tokenizer that is no JSON', () => bundleOf(withTokenizer('{')), '070', /not the definition/],
  ['a blob of another size', () => bundleOf(replaced(1, { content: bytes('short') })), '070', /bytes where|is cut/],
  ['hashes without their blob', () => bundleOf(inserted(firstHashes(), parts[firstHashes()]!)), '070', /not follow it/],
  ['a blob without its hashes', () => bundleOf(parts.toSpliced(firstHashes(), 1)), '070', /do not stand before it/],
  ['something after its end', () => Buffer.concat([whole, bytes('evil')]), '070', /follows its end/],
  ['a second archive after its end', () => Buffer.concat([whole, whole]), '070', /follow its end/],
  ['one zero block at its end', () => bundleOf(parts, new Uint8Array(512)), '070', /is cut/],
  ['a header with a wrong sum', () => broken(148), '070', /no header/],
  ['a size that is no number', () => bundleOf(bent(1, { 124: 'zzzzzzzzzzz' })), '070', /size cannot be/],
  ['a size below zero', () => bundleOf(bent(1, { 124: '\u00FF'.repeat(12) })), '070', /size cannot be/],
  ['a size beyond the file', () => bundleOf(bent(1, { 124: '77777777777' })), '070', /is cut/],
  ['records that name a path', () => bundleOf(inserted(1, records(`19 path=${evil}\n`))), '070', /sets "path"/],
  ['records without an end', () => bundleOf(inserted(1, records('999 size=1'))), '070', /malformed record/],
  ['records of a size that lies', () => bundleOf(inserted(1, records('19 size=8589934592\n'))), '070', /is cut/],
  ['records of a megabyte', () => bundleOf(inserted(1, records(' '.repeat(1 << 20)))), '070', /too long/],
  ['records one after the other', () => bundleOf(inserted(1, records(''), records(''))), '070', /another one/],
]

function flipped(index: number): BundlePart[] {
  const content = Uint8Array.from(parts[index]!.content)
  content[content.length - 1]! ^= 1
  return replaced(index, { content })
}

function smallest(): number {
  return parts.findIndex(({ name, content }) => name.startsWith('blobs/') && content.length < 2048)
}

function strange(): { address: string; bytes: number } {
  return { address: addressOfHashes(new Uint8Array(32).fill(7)), bytes: 9 }
}

function stranger(): BundlePart {
  return { name: `blobs/${strange().address}`, content: bytes('evil evil') }
}

function bent(index: number, changes: Readonly<Record<number, string>>): BundlePart[] {
  const { name, content } = parts[index]!
  return replaced(index, { header: bentHeader(name, content.length, changes) })
}

function kind(name: string, type: string, size = 0): BundlePart {
  return { name, content: new Uint8Array(size), header: bentHeader(name, size, { 156: type }) }
}

function records(text: string): BundlePart {
  return { name: 'pax/x', content: bytes(text), header: bentHeader('pax/x', text.length, { 156: 'x' }) }
}

function broken(at: number): Uint8Array {
  const second = 512 + Math.ceil(parts[0]!.content.length / 512) * 512
  const bent = Uint8Array.from(whole)
  bent[second + at]! ^= 1
  return bent
}

/** Content of its own, under the address that belongs to it, in a manifest that names it. */
function withTokenizer(text: string): BundlePart[] {
  const content = bytes(text)
  const tokenizer = { address: addressOfHashes(sha256(content)), bytes: content.length }
  const index = parts.findIndex(({ name }) => name === `blobs/${manifest.tokenizer.address}`)
  return withManifest({ tokenizer }).map((part, at) =>
    at === index ? { name: `blobs/${tokenizer.address}`, content } : part,
  )
}

describe('a bundle with', () => {
  it.each(CASES)('%s is refused', async (_, make, code, message) => {
    const error = await attempt(make())
    expect(error).toBeInstanceOf(WeftError)
    const { code: got, message: line } = error as WeftError
    expect(got).toMatch(code === '' ? /^WEFT-/ : new RegExp(`^WEFT-MOD-${code}$`))
    expect(line).toMatch(message)
    // oxlint-disable-next-line no-control-regex -- what a terminal would obey is looked for
    expect(line).not.toMatch(/[\u0000-\u001F]/)
    expect(found()).toEqual([])
  })

  it('its end cut off, anywhere, is refused', async () => {
    const step = Math.ceil(whole.length / 40)
    for (let length = 600; length < whole.length; length += step) {
      const error = await attempt(whole.slice(0, length))
      expect(error, `${length} bytes`).toMatchObject({ code: 'WEFT-MOD-070' })
    }
    expect(await attempt(whole.slice(0, whole.length - 1))).toMatchObject({ code: 'WEFT-MOD-070' })
    expect(found()).toEqual([])
  })

  it('a byte changed, anywhere, is refused or is the same model', async () => {
    let refused = 0
    for (let round = 0; round < 40; round++) {
      const bent = Uint8Array.from(whole)
      // A generator of Lehmer's: the same places in every run.
      const at = Number(48_271n ** BigInt(round + 1) % 2_147_483_647n) % (round % 2 === 0 ? 16_384 : bent.length)
      bent[at]! ^= 1 << (round % 8)
      const result = await attempt(bent)
      if (result instanceof WeftError) {
        refused += 1
        expect(found(), `byte ${at}`).toEqual([])
        continue
      }
      expect(result, `byte ${at}`).toMatchObject({ digest: manifest.digest })
      for (const name of ['store', 'partitions']) rmSync(join(folder, name), { recursive: true })
      needs = { ...needs, store: await createBlobStore({ directory: join(folder, 'store') }) }
    }
    expect(refused).toBeGreaterThan(20)
  })

  it('times and owners of another tool, and its padding, is taken', async () => {
    const record = '20 mtime=1700000000\n'
    const other = bundleOf(inserted(2, records(record)), new Uint8Array(20 * 512))
    expect(await attempt(other)).toEqual(manifest)
    rmSync(join(folder, 'partitions'), { recursive: true })
  })
})

describe('tensors of 8 GiB and more', () => {
  it('have their size in a record, as POSIX wants it', () => {
    const header = Buffer.from(tarHeader('blobs/x', 2 ** 33))
    expect(header).toHaveLength(3 * 512)
    expect(header.subarray(512, 540).toString('latin1')).toMatch(/^19 size=8589934592\n/)
    expect(paxSize(header.subarray(512, 512 + 19))).toBe(2 ** 33)
    expect(tarHeader('blobs/x', 2 ** 33 - 1)).toHaveLength(512)
  })

  it('are read where they lie', async () => {
    const large = largeModel(manifest)
    const path = join(base, 'large.weft')
    const file = await open(path, 'w')
    let at = 0
    const put = async (name: string, size: number, content?: Uint8Array): Promise<void> => {
      const header = tarHeader(name, size)
      await file.write(header, 0, header.length, at)
      at += header.length
      if (content !== undefined) await file.write(content, 0, size, at)
      at += Math.ceil(size / 512) * 512
    }
    const json = manifestBytes(large.manifest)
    await put('manifest.json', json.length, json)
    for (const [address, { size, hashes }] of large.blobs) {
      if (hashes !== null) await put(`hashes/${address}`, hashes.length, hashes)
      await put(`blobs/${address}`, size)
    }
    await file.truncate(at + 1024)
    await file.close()
    const access = await openFileAccess(path)
    try {
      const { blobs } = await readBundle(access)
      expect(Math.max(...blobs.map((blob) => blob.bytes))).toBe(large.most)
      expect(large.most).toBeGreaterThan(2 ** 33)
      expect(blobs.at(-1)!.offset).toBeGreaterThan(2 ** 33)
    } finally {
      await access.close()
    }
  })
})
