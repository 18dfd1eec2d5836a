/** The cache of packed weights: taken as it is, made again when damaged, pre-packed for this machine's kernels. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { removeStageFiles, stageFiles } from '../../src/models/index.ts'
import type { ModelManifest, StageFiles } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { Engine } from '../../src/onnx/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel, SMALL } from '../pipeline/support/random-model.ts'
import { someIds, testModel, through } from '../pipeline/support/stages.ts'

const END = SMALL.layers + 1
const real = createOrtEngine()
let root: string
let store: BlobStore
let manifest: ModelManifest
let directory: string
let packed: number[]
let plain: string[]

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-stage-files-'))
  store = await createBlobStore({ directory: join(root, 'store') })
  manifest = await randomModel(store, { type: 'Q4_0' })
  await writeFile(join(root, 'manifest.json'), JSON.stringify(manifest))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'cache-'))
  packed = []
  plain = []
})

function files(engine: Engine | null = real): StageFiles {
  const told = { packed: (block: number) => void packed.push(block), plain: (name: string) => void plain.push(name) }
  return stageFiles({ store, directory, ...(engine === null ? {} : { engine }), ...told }, manifest)
}

async function inCache(name: string): Promise<string> {
  const [folder] = await readdir(directory)
  return join(directory, folder!, name)
}

interface Described {
  readonly kernel: string | null
  readonly bytes: number
  readonly weights: number
  readonly refused?: string
}

async function described(name: string): Promise<Described> {
  return JSON.parse(await readFile(await inCache(`${name}.json`), 'utf8')) as Described
}

/** What the blocks give with the cache as it stands. */
async function rows(engine: Engine | null = real): Promise<Buffer> {
  const model = testModel(store, directory, manifest, engine ?? undefined)
  const stage = await model.stage(1, END)
  const out = await through(model, [stage], someIds(20, SMALL.vocabulary), [7, 1, 12])
  await stage.release()
  return Buffer.from(out)
}

describe('the files of a stage', () => {
  it('are made once, pre-packed, at less than 2.5 times the weights', async () => {
    await files().decoder(1, END, 1)
    expect(packed).toEqual([1, 2, 3])
    const { mtimeNs } = await stat(await inCache('block-2.weights'), { bigint: true })
    await files().decoder(1, END, 4)
    await files().decoder(2, 3, 1)
    expect(packed).toEqual([1, 2, 3])
    expect((await stat(await inCache('block-2.weights'), { bigint: true })).mtimeNs).toBe(mtimeNs)
    const { kernel, bytes, weights } = await described('block-2')
    expect(kernel).toBe(real.kernelId)
    expect(bytes).toBeGreaterThan(weights)
    expect(bytes).toBeLessThan(2.5 * weights)
    expect((await readdir(join(await inCache('.')))).filter((name) => name.includes('tmp'))).toEqual([])
  })

  it('give the same bits pre-packed as plain, the first time and the second', async () => {
    const expected = await rows(null)
    await rm(directory, { recursive: true })
    expect((await rows()).equals(expected)).toBe(true)
    expect((await rows()).equals(expected)).toBe(true)
    expect((await described('block-1')).kernel).toBe(real.kernelId)
  })

  it('that were plain are pre-packed when an engine comes, without packing anew, and still serve without one', async () => {
    const expected = await rows(null)
    expect((await described('block-1')).kernel).toBeNull()
    await files().decoder(1, END, 1)
    expect(packed).toEqual([])
    expect((await described('block-1')).kernel).toBe(real.kernelId)
    expect((await rows()).equals(expected)).toBe(true)
    expect((await rows(null)).equals(expected)).toBe(true)
  })

  it('are pre-packed again for other kernels, and do not grow', async () => {
    await files().decoder(1, END, 1)
    const before = await described('block-1')
    const other = { ...real, kernelId: 'ort-of-tomorrow' }
    await files(other).decoder(1, END, 1)
    expect(packed).toEqual([1, 2, 3])
    expect(await described('block-1')).toMatchObject({ kernel: 'ort-of-tomorrow', bytes: before.bytes })
  })
})

describe('the files of a model that is removed', () => {
  it('go in every form, and those of other models stay; twice is once', async () => {
    await files().decoder(1, 2, 1)
    const [folder] = await readdir(directory)
    await mkdir(join(directory, `${manifest.digest.slice(0, 32)}-1`))
    await mkdir(join(directory, 'code'))
    expect(folder).not.toBe('code')
    await removeStageFiles(directory, manifest.digest)
    await removeStageFiles(directory, manifest.digest)
    expect(await readdir(directory)).toEqual(['code'])
    await expect(removeStageFiles(join(directory, 'not-there'), manifest.digest)).resolves.toBeUndefined()
  })
})

describe('damaged files', () => {
  it('are made again: one byte changed, the end cut off, the description broken or gone', async () => {
    const expected = await rows()
    const damages: [string, () => Promise<unknown>][] = [
      ['a byte of the weights', async () => flip(await inCache('block-1.weights'), 5000)],
      [
        'a byte of the forms',
        async () => flip(await inCache('block-2.weights'), (await described('block-2')).weights + 9000),
      ],
      ['cut off', async () => truncate(await inCache('block-3.weights'), 100_000)],
      ['broken', async () => writeFile(await inCache('block-1.json'), '{"bytes": 12')],
      ['gone', async () => rm(await inCache('block-2.json'))],
      ['weights gone', async () => rm(await inCache('block-3.weights'))],
      ['the graph', async () => flip(await inCache('decoder-1-4-1.onnx'), 200)],
    ]
    for (const [what, damage] of damages) {
      await damage()
      await files().decoder(1, END, 1)
      expect((await rows()).equals(expected), what).toBe(true)
    }
    expect(packed).toEqual([1, 2, 3, 1, 2, 3])
  })

  it('that were only touched are read through once and kept', async () => {
    await files().decoder(1, END, 1)
    await utimes(await inCache('block-1.weights'), 1_000_000_000, 1_000_000_000)
    const before = await readFile(await inCache('block-1.json'), 'utf8')
    await files().decoder(1, END, 1)
    expect(packed).toEqual([1, 2, 3])
    const after = await readFile(await inCache('block-1.json'), 'utf8')
    expect(after).not.toBe(before)
    await files().decoder(1, END, 1)
    expect(await readFile(await inCache('block-1.json'), 'utf8')).toBe(after)
  })
})

describe('kernels whose pre-packed weights do not hold', () => {
  const wrong: Engine = {
    ...real,
    load: async (path, options) => {
      const graph = await real.load(path, options)
      if (options.savePrepacked !== undefined || !path.includes('tmp')) return graph
      return { ...graph, run: async (feeds, fetches) => zeroed(await graph.run(feeds, fetches)) }
    },
  }
  const zeroed = (outputs: Awaited<ReturnType<Awaited<ReturnType<Engine['load']>>['run']>>): typeof outputs =>
    Object.fromEntries(
      Object.entries(outputs).map(([name, y]) => [name, { ...y, data: new Float32Array(y.data.length) }]),
    )

  it('leave the stage with plain weights, say so each time, and are not tried twice', async () => {
    await files(wrong).decoder(1, END, 1)
    expect(plain).toEqual(['block-1', 'block-2', 'block-3'])
    expect(await described('block-1')).toMatchObject({ kernel: null, refused: real.kernelId })
    const { mtimeNs } = await stat(await inCache('block-1.weights'), { bigint: true })
    await files(real).decoder(1, END, 1)
    expect(plain).toHaveLength(6)
    expect(packed).toEqual([1, 2, 3])
    expect((await stat(await inCache('block-1.weights'), { bigint: true })).mtimeNs).toBe(mtimeNs)
    expect((await rows()).equals(await rows(null))).toBe(true)
  })
})

describe('a process that is killed while it makes them', () => {
  it('leaves nothing that is used, whatever the moment', async () => {
    const expected = await rows()
    await rm(directory, { recursive: true })
    const program = fileURLToPath(new URL('./support/stage-files-child.ts', import.meta.url))
    let died = 0
    for (let round = 0; round < 5; round++) {
      const words = [program, join(root, 'store'), directory, join(root, 'manifest.json')]
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...words])
      await once(child.stdout, 'data')
      const cancel = AbortSignal.timeout(15 + round * 60)
      cancel.addEventListener('abort', () => child.kill('SIGKILL'))
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
      if (signal === 'SIGKILL') died++
    }
    expect(died).toBeGreaterThan(0)
    expect((await rows()).equals(expected)).toBe(true)
    await files().decoder(1, END, 1)
    await rm(await inCache('block-1.json'))
    await files().decoder(1, END, 1)
    expect((await readdir(await inCache('.'))).filter((name) => name.includes('tmp'))).toEqual([])
  })
})

async function flip(path: string, at: number): Promise<void> {
  const handle = await open(path, 'r+')
  const byte = new Uint8Array(1)
  await handle.read(byte, 0, 1, at)
  byte[0]! ^= 0xff
  await handle.write(byte, 0, 1, at)
  await handle.close()
}
