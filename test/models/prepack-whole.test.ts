/** A layer whose matrices fill pages is kept in the engine's own file: each tensor and each form has the bytes that copying gives. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matrixGraph } from '../../src/models/llama/matrix-graph.ts'
import { packLayer } from '../../src/models/llama/pack-block.ts'
import { prepackBlock } from '../../src/models/llama/prepack-block.ts'
import type { PackedLayer } from '../../src/models/llama/layer.ts'
import { WeightCache } from '../../src/models/llama/weight-cache.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { createOrtEngine, PrepackedDiffersError, prepackWeights, WeightFile } from '../../src/onnx/index.ts'
import type { Engine, StoredTensor } from '../../src/onnx/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

/** The engine puts what is larger than 1 MiB at a page's start. */
const WIDE = { layers: 1, width: 256, hidden: 8_448 } as const
const PAGE = 4096

let root: string
let store: BlobStore
const engine = createOrtEngine()

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-whole-'))
  store = await createBlobStore({ directory: join(root, 'store') })
})
afterAll(() => rm(root, { recursive: true, force: true }))

interface Packing {
  readonly packed: PackedLayer
  readonly job: Parameters<typeof prepackBlock>[2]
}

async function packing(manifest: ModelManifest, name: string): Promise<Packing> {
  const directory = join(root, name)
  await mkdir(directory)
  const file = await WeightFile.create(join(directory, 'w'), 'w')
  const packed = await packLayer(store, manifest.shape, manifest.blocks[1]!, file)
  await file.close(false)
  return { packed, job: { directory, file: 'w', bytes: file.bytes, target: 'w', scratch: 's' } }
}

const matricesOf = ({ qkv, output, gate, up, down }: PackedLayer) => [...qkv, output, gate, up, down]

/** Each stored tensor under its path in the block. */
function tensorsOf(value: unknown, path = ''): Map<string, StoredTensor> {
  if (typeof value !== 'object' || value === null) return new Map()
  if ('file' in value && 'offset' in value) return new Map([[path, value as StoredTensor]])
  return new Map(Object.entries(value).flatMap(([key, one]) => [...tensorsOf(one, `${path}/${key}`)]))
}

/** A model whose every matrix but those of the hidden layer is too small for the engine to align. */
const wide = (type: 'Q4_0' | 'Q4_1' | 'Q8_0'): Promise<ModelManifest> => randomModel(store, { type, shape: WIDE })

describe('a layer that fills pages', () => {
  it.each(['Q4_0', 'Q4_1', 'Q8_0'] as const)('of %s is kept as the engine wrote it, with equal bytes', async (type) => {
    const manifest = await wide(type)
    const { packed, job } = await packing(manifest, `taken-${type}`)
    const before = await readFile(join(job.directory, 'w'))
    const { packed: taken, weights } = await prepackBlock(engine, packed, job)
    expect(await readdir(job.directory)).toEqual(['w'])
    const after = await readFile(join(job.directory, 'w'))
    expect(weights).toBe(after.length)
    expect((await stat(join(job.directory, 'w'))).mode & 0o777).toBe(0o600)
    // The way of old, beside it: forms laid out behind the weights.
    const copied = await packing(manifest, `copied-${type}`)
    const graph = matrixGraph(matricesOf(copied.packed))
    const laid = await prepackWeights(engine, { ...copied.job, graph })
    expect(laid.file).toBe('w')
    const old = await readFile(join(copied.job.directory, 'w'))
    const now = tensorsOf(taken)
    const was = tensorsOf(packed)
    expect([...now.keys()]).toEqual([...was.keys()])
    let moved = 0
    for (const [path, { offset, length, prepacked = [] }] of now) {
      const plain = was.get(path)!
      expect(offset % PAGE, path).toBe(0)
      if (offset !== plain.offset) moved++
      const bytes = before.subarray(plain.offset, plain.offset + plain.length)
      expect(after.subarray(offset, offset + length).equals(bytes), path).toBe(true)
      const forms = (laid.tensors.get(plain.offset)?.forms ?? []).map(({ key, parts }) => [
        key,
        ...parts.map((part) => old.subarray(part.offset, part.offset + part.length).toString('base64')),
      ])
      // Folded offsets change the end of a form (fold-offsets.ts).
      if (prepacked.some((form) => form.offsets === true)) continue
      const own = prepacked.map(({ key, parts }) => [
        key,
        ...parts.map((part) => after.subarray(part.offset, part.offset + part.length).toString('base64')),
      ])
      expect(own, path).toEqual(path.endsWith('/offsets') ? [] : forms)
    }
    expect(moved).toBeGreaterThan(0)
  })

  it('that gives other numbers then has its plain weights as before, and nothing beside them', async () => {
    const { packed, job } = await packing(await wide('Q4_0'), 'spoiled')
    const before = await readFile(join(job.directory, 'w'))
    const spoiling: Engine = {
      ...engine,
      load: async (path, options) => {
        const graph = await engine.load(path, options)
        if (options.savePrepacked !== undefined) return graph
        const run: typeof graph.run = async (feeds, fetches) => {
          const made = await graph.run(feeds, fetches)
          return Object.fromEntries(
            Object.entries(made).map(([name, y]) => [name, { ...y, data: (y.data as Float32Array).map((v) => v + 1) }]),
          )
        }
        return { ...graph, run }
      },
    }
    await expect(prepackBlock(spoiling, packed, job)).rejects.toBeInstanceOf(PrepackedDiffersError)
    expect(await readdir(job.directory)).toEqual(['w'])
    expect((await readFile(join(job.directory, 'w'))).equals(before)).toBe(true)
  })

  it('is packed anew from its own file for other kernels, which does not grow', async () => {
    const manifest = await wide('Q8_0')
    const directory = join(root, 'kernels')
    let made = 0
    const cached = async (kernelId: string): Promise<PackedLayer> =>
      new WeightCache({ directory, engine: { ...engine, kernelId } }).block('block-1', (file) => {
        made++
        return packLayer(store, manifest.shape, manifest.blocks[1]!, file)
      })
    const sizes: number[] = []
    const digests: string[][] = []
    for (const kernel of ['one', 'two', 'three']) {
      const packed = await cached(kernel)
      const file = await readFile(join(directory, 'block-1.weights'))
      sizes.push(file.length)
      digests.push(
        [...tensorsOf(packed).values()].map(({ offset, length }) =>
          file.subarray(offset, offset + length).toString('base64'),
        ),
      )
      expect([...tensorsOf(packed).values()].filter(({ prepacked = [] }) => prepacked.length > 0)).toHaveLength(5)
    }
    expect(made).toBe(1)
    expect(new Set(sizes).size).toBe(1)
    expect(digests[1]).toEqual(digests[0])
    expect(digests[2]).toEqual(digests[0])
  })
})
