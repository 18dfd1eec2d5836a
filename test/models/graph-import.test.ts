/** ONNX files as models of a home: skeleton and weights by content, blocks at the cuts that are offered. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  checkAnyManifest,
  graphDigest,
  importAnyInChild,
  isGraphManifest,
  loadManifests,
  removeUnused,
} from '../../src/models/index.ts'
import { isOnnxFile } from '../../src/models/graph/onnx-file.ts'
import { outlineAny } from '../../src/models/import/outline.ts'
import type { GraphManifest, GraphOutline } from '../../src/models/index.ts'
import { createPeer, inferModel, splitModel } from '../../src/peer/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { crossing, f32, write } from '../pipeline/graph/support/models.ts'

const WIDTH = 32
let folder: string
let path: string
let store: BlobStore
let manifest: GraphManifest

async function imported(into: BlobStore, home: string, name?: string): Promise<GraphManifest> {
  const needs = {
    clock: systemClock(),
    store: into,
    storeDirectory: join(home, 'store'),
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
    codeCache: join(home, 'cache', 'code'),
  }
  const made = await importAnyInChild(needs, { source: path, ...(name === undefined ? {} : { name }) })
  if (!isGraphManifest(made)) throw new Error('it is no graph')
  return made
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-graph-import-'))
  path = await write(folder, 'Crossing.onnx', crossing(WIDTH))
  store = await createBlobStore({ directory: join(folder, 'home', 'store') })
  manifest = await imported(store, join(folder, 'home'))
})

afterAll(() => rm(folder, { recursive: true }))

describe('a file without the name of one', () => {
  it.each([
    ['a producer', [0x08, 8, 0x12], true],
    ['its graph', [0x08, 8, 0x3a], true],
    ['operator sets', [0x08, 10, 0x42], true],
    ['a field that no model has', [0x08, 8, 0x4a], false],
    ['a version of no format', [0x08, 200, 0x12], false],
    ['GGUF', [...Buffer.from('GGUF')], false],
    ['too little', [0x08, 8], false],
  ] as const)('is ONNX or not by how it begins: with %s', async (name, bytes, isOnnx) => {
    const file = join(folder, `beginning of ${name}`)
    await writeFile(file, Uint8Array.from(bytes))
    expect(await isOnnxFile(file)).toBe(isOnnx)
  })
})

describe('an ONNX file that is imported', () => {
  it('has its weights by content, and blocks that each name the skeleton and the weights of their own nodes', () => {
    expect(manifest).toMatchObject({ kind: 'graph', model: 'crossing', source: 'Crossing.onnx', boundary: 'f32' })
    const { blocks, graph } = manifest
    expect(blocks.length).toBeGreaterThan(4)
    const weights = blocks.flatMap(({ tensors }) => tensors.slice(1).map(({ name }) => name))
    expect(weights.toSorted()).toEqual(Array.from({ length: 8 }, (_, index) => `w${index}`))
    expect(new Set(blocks.map(({ tensors }) => tensors[0]!.address)).size).toBe(1)
    expect(blocks.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(8 * 4 * WIDTH * WIDTH)
    expect(blocks.slice(1).every((block) => block.boundary_bytes > 0)).toBe(true)
    expect(blocks.reduce((sum, { flops }) => sum + flops, 0)).toBeGreaterThanOrEqual(8 * 2 * WIDTH * WIDTH)
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x', 'late'])
    expect(graph.outputs.map(({ name }) => name)).toEqual(['y', 'early'])
    expect(graph.proven.length).toBeGreaterThan(0)
  })

  it('says before that which blocks it will have', async () => {
    const outline = (await outlineAny({ outline: path, weights: 'auto' })) as GraphOutline
    const { blocks, graph, license } = manifest
    const nodes = crossing(WIDTH).graph.nodes.length
    expect(outline).toMatchObject({ kind: 'graph', license, nodes, text: null, bytes: 8 * 4 * WIDTH * WIDTH })
    expect([outline.inputs, outline.outputs]).toEqual([graph.inputs, graph.outputs])
    const bare = blocks.map(({ tensors, bytes, flops, boundary_bytes: crossed }) => {
      return { tensors: tensors.length - 1, bytes, flops, boundary_bytes: crossed }
    })
    expect(outline.blocks).toEqual(bare)
  })

  it('is the same on another machine, and under another name', async () => {
    const home = join(folder, 'other')
    const other = await imported(await createBlobStore({ directory: join(home, 'store') }), home, 'mine:1')
    expect(other).toEqual({ ...manifest, model: 'mine:1' })
    expect(await readdir(join(home, 'downloads'))).not.toContainEqual(expect.stringMatching(/^import-/))
  })

  it('is found again in its folder, and nothing is left of it when it goes', async () => {
    const home = join(folder, 'gone')
    const own = await createBlobStore({ directory: join(home, 'store') })
    await imported(own, home)
    expect(await loadManifests(join(home, 'partitions'))).toEqual({ manifests: [manifest], refused: [] })
    expect(await removeUnused(own, [manifest])).toBe(0)
    expect(await removeUnused(own, [])).toBeGreaterThan(8 * 4 * WIDTH * WIDTH)
  })

  it('is refused when its manifest lies', () => {
    const changed = (change: (copy: GraphManifest) => void): unknown => {
      const copy = structuredClone(manifest)
      change(copy)
      return { ...copy, digest: graphDigest(copy) }
    }
    type Wide = { -readonly [Key in keyof GraphManifest]: GraphManifest[Key] } & {
      blocks: { tensors: object[]; bytes: number }[]
    }
    const lies: readonly ((copy: Wide) => void)[] = [
      (copy) => void copy.blocks[0]!.tensors.shift(),
      (copy) => void (copy.blocks[1]!.bytes += 1),
      (copy) => void copy.blocks[0]!.tensors.push(copy.blocks[0]!.tensors.at(-1)!),
      (copy) => (copy.graph = { ...copy.graph, proven: [9_999] }),
      (copy) => (copy.graph = { ...copy.graph, proven: [2, 1] }),
      (copy) => (copy.blocks = []),
      (copy) => Object.assign(copy.blocks[0]!.tensors[0]!, { address: 'nowhere' }),
    ]
    expect(checkAnyManifest(structuredClone(manifest))).toEqual(manifest)
    for (const lie of lies)
      expect(() => checkAnyManifest(changed(lie as never))).toThrow(expect.objectContaining({ code: 'WEFT-MOD-006' }))
    expect(() => checkAnyManifest({ ...manifest, digest: '0'.repeat(64) })).toThrow('digest')
  })
})

describe('a peer with such a model', () => {
  it('lists, shows and removes it, says which verbs are for others, and infer and split take it by its name', async () => {
    const home = join(folder, 'peer')
    const inputs = new Map([
      ['x', f32([3, WIDTH])],
      ['late', f32([3, WIDTH], 5)],
    ])
    const direct = await inferModel({ home, model: path, inputs })
    const peer = await createPeer({ home, offline: true, lan: 'off', logLevel: 'error' })
    try {
      expect(await peer.importModel({ source: path })).toMatchObject({ model: 'crossing', digest: manifest.digest })
      expect(await peer.models()).toContainEqual(
        expect.objectContaining({ model: 'crossing', blocks: manifest.blocks.length, local: true }),
      )
      expect(await peer.manifest('crossing')).toEqual(manifest)
      const { stages } = await peer.deploy('crossing')
      expect(stages).toEqual([{ peer: peer.id, from: 0, to: manifest.blocks.length }])
      await peer.undeploy('crossing')
      await expect(peer.tokenize('crossing', { kind: 'text', text: 'a' })).rejects.toMatchObject({
        code: 'WEFT-MOD-090',
      })
      await expect(peer.importModel({ source: path, name: 'q', weights: 'q4' })).rejects.toMatchObject({
        code: 'WEFT-MOD-090',
      })
      const named = await inferModel({ home, model: 'crossing', inputs, parts: 2 })
      expect([...named.outputs]).toEqual([...direct.outputs])
      const split = await splitModel({ home, model: 'crossing', parts: 3, out: join(folder, 'parts'), check: true })
      expect(split).toMatchObject({ schema: 'weft.split/1', model: 'crossing', check: { equal: true } })
      expect(split.partitions.map(({ file }) => file)).toEqual([
        'partition-0.onnx',
        'partition-1.onnx',
        'partition-2.onnx',
      ])
      await peer.removeModel('crossing')
      expect(await peer.models()).not.toContainEqual(expect.objectContaining({ model: 'crossing', local: true }))
      await expect(inferModel({ home, model: 'crossing', inputs })).rejects.toMatchObject({ code: 'WEFT-MOD-050' })
    } finally {
      await peer.stop({ drain: 0 })
    }
  }, 60_000)
})
