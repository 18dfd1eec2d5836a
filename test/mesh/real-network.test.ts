import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMesh } from '../../src/mesh/index.ts'
import type { Mesh, MeshNeeds } from '../../src/mesh/index.ts'
import { importModel } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { DTYPE, encodeControl, frame } from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { joined, networkPool, until } from '../net/helpers.ts'
import { memoryFiles, profile, QUIET } from './support/make-mesh.ts'

interface RealPeer {
  readonly id: string
  readonly network: Network
  readonly mesh: Mesh
  readonly store: BlobStore
  readonly counters: Map<string, number>
  readonly left: string[]
}

const pool = networkPool()
const clock = systemClock()
let folder: string
let peers: RealPeer[]
let model: ModelManifest

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-real-'))
  peers = []
})

afterEach(async () => {
  await Promise.all(peers.map(({ mesh }) => mesh.stop()))
  await pool.stopAll()
  await rm(folder, { recursive: true, force: true })
})

interface RealPeerOptions extends Partial<MeshNeeds> {
  readonly bootstrap?: readonly string[]
  /** Null: it only dials. */
  readonly listen?: null
}

async function realPeer(options: RealPeerOptions = {}): Promise<RealPeer> {
  const identity = newIdentity()
  const { bootstrap = [], listen, ...needs } = options
  const network = await pool.add({ identity, bootstrap, ...(listen === null ? { listen } : {}) })
  const store = options.store ?? (await createBlobStore({ directory: join(folder, identity.id) }))
  const counters = new Map<string, number>()
  const left: string[] = []
  const mesh = createMesh({
    network,
    identity,
    clock,
    random: systemRandom(),
    store,
    logger: QUIET,
    telemetry: { count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by) },
    files: memoryFiles(),
    loadManifest: () => Promise.resolve(undefined),
    ...needs,
  })
  mesh.on({ left: (peer, farewell) => left.push(`${peer} ${farewell}`) })
  await mesh.start()
  const peer = { id: identity.id, network, mesh, store, counters, left }
  peers.push(peer)
  return peer
}

/** A peer that holds a real, small model. */
async function holder(): Promise<RealPeer> {
  const store = await createBlobStore({ directory: join(folder, 'holder') })
  const file = join(folder, 'tiny.gguf')
  await writeFile(file, writeGguf(tinyLlama()))
  const needs = { store, clock, directory: join(folder, 'partitions'), downloads: join(folder, 'downloads') }
  model = await importModel(needs, { source: file })
  const loadManifest = (digest: string): Promise<ModelManifest | undefined> =>
    Promise.resolve(digest === model.digest ? model : undefined)
  return realPeer({ store, loadManifest })
}

describe('over real connections', () => {
  it('brings together two that only dial: each says in its profile through whom it is reached', async () => {
    const relay = await realPeer()
    const bootstrap = [relay.network.addresses()[0]!]
    const [a, b] = [await realPeer({ bootstrap, listen: null }), await realPeer({ bootstrap, listen: null })]
    for (const { mesh } of [a, b]) await mesh.publishProfile(profile('dials only'))
    await until(() => [a, b].every(({ network }) => network.connected().some((one) => one.relayed === true)))
    await until(() => a.mesh.profiles().get(b.id)?.circuits?.length === 1)
    expect(a.mesh.profiles().get(b.id)).toMatchObject({
      addresses: [],
      circuits: [`${bootstrap[0]}/p2p-circuit/p2p/${b.id}`],
    })
  })

  it('peers that know one bootstrap peer learn of each other and connect', async () => {
    const first = await realPeer()
    const others = []
    for (let index = 0; index < 2; index++) others.push(await realPeer({ bootstrap: first.network.addresses() }))
    for (const [index, { mesh }] of peers.entries()) await mesh.publishProfile(profile(`peer ${index}`))
    await until(() => peers.every(({ mesh }) => mesh.peers().length === 2))
    await joined(others[0]!.network, others[1]!.network)
    await until(() => peers.every(({ mesh }) => mesh.peers().every(({ state }) => state === 'connected')))
    const names = first.mesh.peers().map(({ name }) => name)
    expect(names.sort()).toEqual(['peer 1', 'peer 2'])
  })

  it('a model travels: its manifest by name, its tensors by address, all verified', async () => {
    const a = await holder()
    const b = await realPeer({ bootstrap: a.network.addresses() })
    await a.mesh.announceManifest(model)
    await until(() => b.mesh.manifests().length === 1)
    expect(b.mesh.manifests()[0]).toMatchObject({ model: model.model, holders: [a.id], blocks: model.blocks.length })
    expect(await b.mesh.fetchManifest(model.model)).toEqual(model)
    expect(await b.mesh.fetchManifest(model.digest)).toEqual(model)
    const tensors = model.blocks.flatMap((block) => block.tensors)
    await b.mesh.fetchTensors(tensors, [a.id])
    for (const { address } of tensors) {
      expect(Buffer.compare(await b.store.readAll(address), await a.store.readAll(address))).toBe(0)
    }
    // The tied head and the embedding are one tensor, and cross the wire once.
    const once = new Map(tensors.map(({ address, bytes }) => [address, bytes]))
    const bytes = [...once.values()].reduce((sum, size) => sum + size, 0)
    expect(b.counters.get('blob_bytes_received')).toBe(bytes)
  })

  it('a large tensor comes from two holders at a time, beside gossip', async () => {
    const [a, b] = [await realPeer(), await realPeer()]
    const c = await realPeer({ bootstrap: [...a.network.addresses(), ...b.network.addresses()] })
    const content = Uint8Array.from({ length: 9_000_001 }, (_, index) => (index * 2654435761) >>> 13)
    const blob = await a.store.put(content)
    await b.store.put(content)
    await joined(a.network, c.network)
    await joined(b.network, c.network)
    const fetching = c.mesh.fetchTensors([blob], [a.id, b.id])
    await a.mesh.publishProfile(profile('anna'))
    await Promise.all([fetching, until(() => c.mesh.profiles().has(a.id))])
    expect(Buffer.compare(await c.store.readAll(blob.address), content)).toBe(0)
    for (const { counters } of [a, b]) expect(counters.get('blob_bytes_served')).toBeGreaterThan(1_000_000)
  })

  it('a manifest that is not the one it should be is refused', async () => {
    const a = await holder()
    const store = await createBlobStore({ directory: join(folder, 'other') })
    await writeFile(join(folder, 'other.gguf'), writeGguf(tinyLlama({ layers: 1 })))
    const needs = { store, clock, directory: join(folder, 'partitions'), downloads: join(folder, 'downloads') }
    const other = await importModel(needs, { source: join(folder, 'other.gguf') })
    // One that is not sound, then one that is, of another model.
    const lies = [{ ...model, blocks: model.blocks.slice(1) }, other]
    const loadManifest = (): Promise<ModelManifest | undefined> => Promise.resolve(lies.shift())
    const liar = await realPeer({ bootstrap: a.network.addresses(), loadManifest })
    const b = await realPeer({ bootstrap: liar.network.addresses() })
    await liar.mesh.announceManifest(model)
    await until(() => b.mesh.manifests().length === 1)
    for (const why of ['3 blocks for 2 layers', 'it sent the manifest of another model']) {
      const failure = b.mesh.fetchManifest(model.digest)
      await expect(failure).rejects.toMatchObject({ code: 'WEFT-DSC-104', details: { holders: { [liar.id]: why } } })
    }
    await expect(b.mesh.fetchManifest('no-such-model')).rejects.toMatchObject({ code: 'WEFT-DSC-103' })
  })

  it('who stops says goodbye; who is cut off does not; both are away', async () => {
    const [a, b] = [await realPeer(), await realPeer()]
    const c = await realPeer({ bootstrap: [...a.network.addresses(), ...b.network.addresses()] })
    await joined(a.network, c.network)
    await joined(b.network, c.network)
    await a.mesh.publishProfile(profile('anna'))
    await until(() => c.mesh.profiles().has(a.id))
    await a.mesh.stop()
    await until(() => c.left.includes(`${a.id} true`))
    expect(c.mesh.state(a.id)).toBe('away')
    await b.network.stop()
    await until(() => c.left.includes(`${b.id} false`))
    expect(c.mesh.state(b.id)).not.toBe('connected')
  })

  it('garbage on the mesh protocol ends that channel, is answered by a new one, and harms nobody', async () => {
    const a = await realPeer()
    const b = await realPeer({ bootstrap: a.network.addresses() })
    await joined(a.network, b.network)
    // Only the peer with the smaller id opens; the other end closes what else comes.
    const [small, large] = a.id < b.id ? [a, b] : [b, a]
    // One that asked before the other had started its mesh would not ask again at once: both speak first.
    await small.mesh.publishProfile(profile('small'))
    await large.mesh.publishProfile(profile('large'))
    await until(() => small.mesh.profiles().size === 2 && large.mesh.profiles().size === 2)
    const payload = new Uint8Array(100).fill(7)
    const garbage = [
      frame({ type: 3, dtype: DTYPE.bytes, dims: [100], payload }),
      frame({ type: 2, control: encodeControl({ entries: [['a']], last: true, reply: true }) }),
      frame({ type: 2, control: Uint8Array.of(0xc1) }),
    ]
    for (const message of garbage) {
      const channel = await small.network.open(large.id, '/weft/mesh/1')
      channel.onFrame(() => undefined)
      await channel.send(message).catch(() => undefined)
      expect(await channel.closed).toBeInstanceOf(Error)
    }
    await small.mesh.publishProfile(profile('small again'))
    await large.mesh.publishProfile(profile('large again'))
    const name = (of: RealPeer, at: RealPeer): string | undefined => at.mesh.profiles().get(of.id)?.name
    await until(() => name(small, large) === 'small again' && name(large, small) === 'large again')
  })
})
