/** The disk quota: what goes, what stays, and that the last copy never goes by itself. Real stores, real meshes. */
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { DiskKeeper } from '../../src/peer/disk-keeper.ts'
import { homePaths } from '../../src/peer/home.ts'
import { Library } from '../../src/peer/library.ts'
import { Pins } from '../../src/peer/pins.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { createWorld } from '../mesh/support/make-mesh.ts'
import type { TestPeer, World } from '../mesh/support/make-mesh.ts'
import { pump } from '../mesh/support/blobs.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

let root: string
let world: World

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'weft-quota-'))
  world = createWorld()
})
afterEach(async () => {
  await world.end()
  await rm(root, { recursive: true, force: true })
})

interface Home {
  readonly keeper: DiskKeeper
  readonly store: BlobStore
  readonly pins: Pins
  readonly models: ModelManifest[]
  readonly loaded: Set<string>
  readonly counted: Map<string, number>
}

const peers: TestPeer[] = []

async function home(name: string, quota: number): Promise<Home> {
  const paths = homePaths(join(root, name), {})
  const store = await createBlobStore({ directory: paths.store })
  const pins = await Pins.open(root, () => undefined)
  const [models, loaded, counted] = [[] as ModelManifest[], new Set<string>(), new Map<string, number>()]
  const link: { keeper?: DiskKeeper } = {}
  const peer = await world.peer({ store, promise: (address) => link.keeper!.promise(address) })
  peers.push(peer)
  const keeper = new DiskKeeper({
    clock: world.clock,
    store,
    paths,
    pins,
    quota,
    count: (counter, by = 1) => void counted.set(counter, (counted.get(counter) ?? 0) + by),
    log: () => undefined,
    models: () => models,
    loaded: () => loaded,
    askToKeep: (blobs) =>
      peer.mesh.askToKeep(
        blobs,
        peers.map(({ id }) => id),
      ),
    changed: () => undefined,
  })
  link.keeper = keeper
  return { keeper, store, pins, models, loaded, counted }
}

afterEach(() => void (peers.length = 0))

async function bytesOf(store: BlobStore): Promise<number> {
  let sum = 0
  for await (const { bytes } of store.list()) sum += bytes
  return sum
}

const addresses = (model: ModelManifest): string[] =>
  model.blocks.flatMap((block) => block.tensors.map((ref) => ref.address))

async function has(home: Home, model: ModelManifest): Promise<number> {
  let count = 0
  for (const address of new Set(addresses(model))) if (await home.store.has(address)) count += 1
  return count
}

describe('a disk quota', () => {
  it('frees what was used longest ago and another peer keeps, and no more than is needed', async () => {
    const quota = 10_000_000
    const [a, b] = [await home('a', quota), await home('b', 1e9)]
    world.hub.connectAll()
    for (const { store, models } of [a, b]) {
      models.push(await randomModel(store, { type: 'Q8_0' }), await randomModel(store, { type: 'Q4_0' }))
    }
    const [old, fresh] = a.models as [ModelManifest, ModelManifest]
    for (const address of addresses(old)) await utimes(a.store.path(address), 1000, 1000)
    // Stored at the same time, and used since.
    await a.store.touch(addresses(fresh))
    const before = await bytesOf(a.store)
    await a.keeper.makeRoom(quota - before)
    expect(a.counted.get('blobs_evicted')).toBeUndefined()
    await pump(world, a.keeper.makeRoom(quota - before + 1))
    expect(a.counted.get('blobs_evicted')).toBe(1)
    await pump(world, a.keeper.makeRoom(quota - before + 1_000_000))
    expect(await a.keeper.usage()).toBeLessThanOrEqual(before - 1_000_000)
    expect(await has(a, fresh)).toBe(new Set(addresses(fresh)).size)
    expect(await has(a, old)).toBeLessThan(new Set(addresses(old)).size - 1)
    // Whoever has promised keeps all.
    for (const model of [old, fresh]) expect(await has(b, model)).toBe(new Set(addresses(model)).size)
    expect(b.counted.get('blobs_evicted')).toBeUndefined()
  })

  it('keeps the last copy, pinned models and loaded ones, and says so', async () => {
    const [a, b] = [await home('a', 2_000_000), await home('b', 1e9)]
    world.hub.connectAll()
    a.models.push(await randomModel(a.store, { type: 'Q8_0' }))
    const [model] = a.models as [ModelManifest]
    const all = new Set(addresses(model)).size
    const full = { code: 'WEFT-STO-020', details: { quota: 2_000_000, needed: 1_500_000 } }
    await expect(pump(world, a.keeper.makeRoom(1_500_000))).rejects.toMatchObject(full)
    expect(await has(a, model)).toBe(all)
    expect((await pump(world, a.keeper.lastCopies(model))).length).toBe(all)
    b.models.push(await randomModel(b.store, { type: 'Q8_0' }))
    expect(await pump(world, a.keeper.lastCopies(model))).toEqual([])
    a.loaded.add(model.digest)
    await expect(pump(world, a.keeper.makeRoom(1_500_000))).rejects.toMatchObject(full)
    a.loaded.clear()
    await a.pins.set(model.digest, true)
    await expect(pump(world, a.keeper.makeRoom(1_500_000))).rejects.toMatchObject(full)
    expect(await has(a, model)).toBe(all)
    // A pin outlives the process, a second opening too.
    expect((await Pins.open(root, () => undefined)).has(model.digest)).toBe(true)
    await a.pins.set(model.digest, false)
    await pump(world, a.keeper.makeRoom(1_500_000))
    expect(await has(a, model)).toBeLessThan(all)
  })

  it('two peers that need room at the same time do not both drop the same', async () => {
    const [a, b] = [await home('a', 2_000_000), await home('b', 2_000_000)]
    world.hub.connectAll()
    for (const { store, models } of [a, b]) models.push(await randomModel(store, { type: 'Q8_0' }))
    const [model] = a.models as [ModelManifest]
    await pump(world, Promise.allSettled([a.keeper.makeRoom(1_900_000), b.keeper.makeRoom(1_900_000)]))
    await pump(world, Promise.allSettled([b.keeper.makeRoom(1_900_000), a.keeper.makeRoom(1_900_000)]))
    for (const address of addresses(model)) {
      expect((await a.store.has(address)) || (await b.store.has(address))).toBe(true)
    }
  })
})

describe('blobs without a model', () => {
  async function library(name: string, counted: string[]): Promise<Library> {
    const paths = homePaths(join(root, name), {})
    return Library.open({
      clock: systemClock(),
      store: await createBlobStore({ directory: paths.store }),
      paths,
      catalogues: [],
      log: () => undefined,
      count: (counter, by = 1) => void counted.push(`${counter} ${by}`),
      fetchManifest: () => Promise.resolve(null),
      fetchBlobs: () => Promise.resolve(),
      adopted: () => undefined,
      changed: () => undefined,
    })
  }

  it('are collected, but not beside an import, nor when a manifest could not be read', async () => {
    const paths = homePaths(join(root, 'c'), {})
    const store = await createBlobStore({ directory: paths.store })
    const { address } = await store.put(new Uint8Array(5000).fill(3))
    const counted: string[] = []
    const release = await store.hold()
    expect(await (await library('c', counted)).collect()).toBe(0)
    await release()
    await mkdir(paths.partitions, { recursive: true })
    await writeFile(join(paths.partitions, 'broken.json'), '{"schema":"weft.manifest/1"')
    expect(await (await library('c', counted)).collect()).toBe(0)
    expect(await store.has(address)).toBe(true)
    await rm(join(paths.partitions, 'broken.json'))
    const last = await library('c', counted)
    expect(await last.collect()).toBe(5000)
    expect(await store.has(address)).toBe(false)
    expect(await last.collect()).toBe(0)
    expect(counted).toEqual(['blobs_collected 1'])
  })
})
