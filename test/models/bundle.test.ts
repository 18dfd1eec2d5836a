import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importModel, loadManifest, manifestAddresses, writeBundle } from '../../src/models/index.ts'
import type { ImportNeeds, ModelManifest } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-bundle-'))
let count = 0

async function home(folder = join(base, `home-${count++}`)): Promise<ImportNeeds> {
  const store = await createBlobStore({ directory: join(folder, 'store') })
  const directory = join(folder, 'partitions')
  return { store, clock: systemClock(), directory, downloads: join(folder, 'downloads') }
}

/** Files of a store and a partitions folder, but for temporary ones of nobody. */
function left({ directory, store }: ImportNeeds): string[] {
  const root = dirname(dirname(dirname(store.path(address))))
  return [directory, root].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ name }) => name)
      : [],
  )
}

let source: ImportNeeds
let manifest: ModelManifest
let address: string
let bundle: string

beforeAll(async () => {
  const gguf = join(base, 'mine.gguf')
  // Matrices of the feed-forward have 1.07 MiB: two chunks.
  writeFileSync(gguf, writeGguf(tinyLlama({ matrix: 'F32', width: 256, hidden: 1100 })))
  source = await home()
  manifest = await importModel(source, { source: gguf })
  address = manifest.tokenizer.address
  bundle = join(base, 'mine.weft')
  await writeBundle(source.store, { manifest, path: bundle })
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

describe('a bundle', () => {
  it('gives the same model in another home, and the same bytes when it is exported from there', async () => {
    const there = await home()
    const steps: number[] = []
    const imported = await importModel(there, { source: bundle }, ({ done, total }) => steps.push(done / total!))
    expect(imported).toEqual(manifest)
    expect(await loadManifest(there.directory, 'mine')).toEqual(manifest)
    expect(steps.at(-1)).toBe(1)
    const again = join(base, 'again.weft')
    const written = await writeBundle(there.store, { manifest: imported, path: again })
    const bytes = readFileSync(again)
    expect(bytes.equals(readFileSync(bundle))).toBe(true)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const blobs = manifestAddresses(manifest).size
    expect(written).toMatchObject({ schema: 'weft.export/1', bytes: bytes.length, blobs, sha256 })
  })

  it('collects what a killed export left beside it, and nothing else', async () => {
    const folder = mkdtempSync(join(base, 'out-'))
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    const [old, late, foreign] = [`.weft-${dead}-0-1-mine.tmp`, `.weft-${dead}-0-2-mine.tmp`, '.weft-notes.tmp']
    const long = new Date(Date.now() - 3_600_000)
    for (const name of [old, late, foreign]) writeFileSync(join(folder, name), 'half')
    for (const name of [old, foreign]) utimesSync(join(folder, name), long, long)
    await writeBundle(source.store, { manifest, path: join(folder, 'out.weft') })
    expect(readdirSync(folder).toSorted()).toEqual([late, foreign, 'out.weft'].toSorted())
  })

  it('is a tar archive for other tools', ({ skip }) => {
    let listed: string[] = []
    try {
      listed = execFileSync('tar', ['tf', bundle], { encoding: 'utf8' }).trimEnd().split('\n')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') skip('there is no tar here')
      throw error
    }
    const blobs = [...manifestAddresses(manifest)]
    expect(listed[0]).toBe('manifest.json')
    expect(listed.filter((name) => name.startsWith('blobs/')).map((name) => name.slice(6))).toEqual(
      expect.arrayContaining(blobs),
    )
    const text = execFileSync('tar', ['xOf', bundle, 'manifest.json'], { encoding: 'utf8' })
    expect(JSON.parse(text)).toEqual(manifest)
  })

  it('is known by its content, and takes another name', async () => {
    const there = await home()
    const odd = join(base, 'holiday.jpg')
    writeFileSync(odd, readFileSync(bundle))
    const renamed = await importModel(there, { source: odd, name: 'other:1b' })
    expect(renamed).toEqual({ ...manifest, model: 'other:1b' })
  })

  it('reads from the file only what the store lacks, and mends what is damaged there', async () => {
    const there = await home()
    const reused: [number, number][] = []
    const needs = { ...there, onReused: (...told: [number, number]) => reused.push(told) }
    await importModel(needs, { source: bundle })
    expect(reused).toEqual([])
    const all = [...manifestAddresses(manifest)]
    const tensors = manifest.blocks.flatMap((block) => block.tensors)
    const gone = tensors.find(({ bytes }) => bytes > 1 << 20)!.address
    await there.store.remove(gone)
    const rotten = there.store.path(address)
    writeFileSync(rotten, Buffer.from(readFileSync(rotten)).fill(0, 3, 9))
    await importModel(needs, { source: bundle })
    expect(reused).toHaveLength(1)
    expect(reused[0]![0]).toBe(all.length - 2)
    for (const one of all) expect((await there.store.readAll(one)).length).toBe(await there.store.size(one))
  })

  it('refuses to be what it is not, before it is read', async () => {
    const there = await home()
    for (const choice of [{ weights: 'q4' }, { boundary: 'f32' }, { tokenizer: 'x' }] as const) {
      await expect(importModel(there, { source: bundle, ...choice })).rejects.toMatchObject({ code: 'WEFT-MOD-074' })
    }
    expect(left(there)).toEqual([])
  })

  it('does not replace another model of its name, and leaves nothing of itself then', async () => {
    const there = await home()
    const gguf = join(base, 'mine-too.gguf')
    writeFileSync(gguf, writeGguf(tinyLlama()))
    await importModel(there, { source: gguf, name: 'mine' })
    const before = left(there)
    await expect(importModel(there, { source: bundle })).rejects.toMatchObject({ code: 'WEFT-MOD-008' })
    expect(left(there)).toEqual(before)
  })

  it('leaves nothing when its import is stopped, and can be imported the next time', async () => {
    const there = await home()
    const controller = new AbortController()
    const stop = ({ done }: { done: number }): void => {
      if (done > 2_000_000) controller.abort(new Error('enough'))
    }
    await expect(importModel(there, { source: bundle }, stop, controller.signal)).rejects.toThrow('enough')
    expect(left(there)).toEqual([])
    expect(await importModel(there, { source: bundle })).toEqual(manifest)
  })
})

describe('an export', () => {
  const target = (): string => {
    const folder = join(base, `out-${count++}`)
    mkdirSync(folder)
    return join(folder, 'm.weft')
  }

  it('names the blocks that are not here, and where the model came from', async () => {
    const there = await home()
    await importModel(there, { source: bundle })
    for (const block of [1, 2]) await there.store.remove(manifest.blocks[block]!.tensors[1]!.address)
    const path = target()
    await expect(writeBundle(there.store, { manifest, path })).rejects.toMatchObject({
      code: 'WEFT-MOD-071',
      message: 'this home has not all of mine: blocks 1 to 2 missing',
      why: expect.stringContaining('it came from mine.gguf') as string,
      details: { blocks: [1, 2], tokenizer: false },
    })
    await there.store.remove(address)
    await expect(writeBundle(there.store, { manifest, path })).rejects.toMatchObject({
      message: 'this home has not all of mine: blocks 1 to 2 and the tokenizer missing',
    })
    expect(readdirSync(dirname(path))).toEqual([])
  })

  it('does not carry a damaged blob away, and leaves no file', async () => {
    const there = await home()
    await importModel(there, { source: bundle })
    const large = manifest.blocks[1]!.tensors.find(({ bytes }) => bytes > 1 << 20)!
    const file = there.store.path(large.address)
    const bytes = readFileSync(file)
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(file, bytes)
    const path = target()
    await expect(writeBundle(there.store, { manifest, path })).rejects.toMatchObject({ code: 'WEFT-STO-009' })
    expect(readdirSync(dirname(path))).toEqual([])
  })

  it('replaces a file only when it is told to, and a folder never', async () => {
    const path = target()
    writeFileSync(path, 'mine')
    await expect(writeBundle(source.store, { manifest, path })).rejects.toMatchObject({ code: 'WEFT-MOD-072' })
    expect(readFileSync(path, 'utf8')).toBe('mine')
    await writeBundle(source.store, { manifest, path, force: true })
    expect(readFileSync(path).equals(readFileSync(bundle))).toBe(true)
    const folder = dirname(path)
    await expect(writeBundle(source.store, { manifest, path: folder, force: true })).rejects.toMatchObject({
      code: 'WEFT-MOD-072',
    })
    const nowhere = join(folder, 'no', 'm.weft')
    await expect(writeBundle(source.store, { manifest, path: nowhere })).rejects.toMatchObject({ code: 'WEFT-MOD-073' })
    expect(readdirSync(folder)).toEqual(['m.weft'])
  })

  it('leaves nothing when it is stopped, and the old file as it was', async () => {
    const path = target()
    writeFileSync(path, 'old')
    const controller = new AbortController()
    const stop = ({ done }: { done: number }): void => {
      if (done > 1_000_000) controller.abort(new Error('enough'))
    }
    const request = { manifest, path, force: true }
    await expect(writeBundle(source.store, request, stop, controller.signal)).rejects.toThrow('enough')
    expect(readdirSync(dirname(path))).toEqual(['m.weft'])
    expect(readFileSync(path, 'utf8')).toBe('old')
  })
})

/** A file system of so many MiB, where this process may mount one. */
function mountSmall(megabytes: number): string | null {
  const path = join(base, `small-${megabytes}`)
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path], { stdio: 'ignore' })
    return path
  } catch {
    return null
  }
}

const small = process.platform === 'linux' && process.getuid?.() === 0 ? mountSmall(6) : null

describe.skipIf(small === null)('a full disk (skipped where no small tmpfs can be mounted: needs root)', () => {
  afterAll(() => execFileSync('umount', [small!]))

  it('ends an export and an import before anything is written', async () => {
    const path = join(small!, 'm.weft')
    await expect(writeBundle(source.store, { manifest, path })).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    const there = await home(join(small!, 'home'))
    await expect(importModel(there, { source: bundle })).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    expect(left(there)).toEqual([])
  })

  it('ends both in the middle when others fill it meanwhile, and nothing is left', async () => {
    const filler = join(small!, 'filler')
    // What the check before it sees, and what is there when it comes to it, are not the same.
    execFileSync('mount', ['-o', 'remount,size=12m', small!])
    const fill = ({ done }: { done: number }): void => {
      if (done < 1_000_000 || existsSync(filler)) return
      execFileSync('mount', ['-o', 'remount,size=7m', small!])
      writeFileSync(filler, Buffer.alloc(3 << 20))
    }
    const path = join(small!, 'm.weft')
    await expect(writeBundle(source.store, { manifest, path }, fill)).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    expect(existsSync(filler)).toBe(true)
    rmSync(filler)
    execFileSync('mount', ['-o', 'remount,size=12m', small!])
    const there = await home(join(small!, 'home'))
    await expect(importModel(there, { source: bundle }, fill)).rejects.toMatchObject({ code: 'WEFT-STO-007' })
    expect(existsSync(filler)).toBe(true)
    rmSync(filler)
    execFileSync('mount', ['-o', 'remount,size=12m', small!])
    expect(left(there)).toEqual([])
    expect(await importModel(there, { source: bundle })).toEqual(manifest)
    expect(readdirSync(small!)).toEqual(['home'])
  })
})
