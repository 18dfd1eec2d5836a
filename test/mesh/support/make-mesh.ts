/** Meshes for tests: real records, gossip and blobs over the memory network. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMesh } from '../../../src/mesh/index.ts'
import type { Mesh, MeshFiles, MeshNeeds, OwnProfile } from '../../../src/mesh/index.ts'
import type { Network } from '../../../src/net/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import type { BlobStore } from '../../../src/store/index.ts'
import { newIdentity } from '../../../src/trust/index.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { createMemoryHub } from '../memory-network.ts'
import type { MemoryHub } from '../memory-network.ts'
import { seededRandom } from './seeded-random.ts'
import { virtualClock } from './virtual-clock.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface TestPeer {
  readonly id: string
  readonly identity: Identity
  readonly network: Network
  readonly mesh: Mesh
  readonly store: BlobStore
  readonly files: MemoryFiles
  readonly counters: Map<string, number>
  readonly events: string[]
}

export interface MemoryFiles extends MeshFiles {
  readonly content: Map<string, Uint8Array>
  readonly writes: () => number
}

export function memoryFiles(content = new Map<string, Uint8Array>()): MemoryFiles {
  let writes = 0
  return {
    content,
    writes: () => writes,
    read: (name) => Promise.resolve(content.get(name)),
    write: (name, bytes) => {
      writes += 1
      content.set(name, bytes)
      return Promise.resolve()
    },
  }
}

export const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined }

export interface World {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  peer(options?: Partial<MeshNeeds> & { identity?: Identity; files?: MemoryFiles }): Promise<TestPeer>
  end(): Promise<void>
}

export function createWorld(init: { readonly delay?: () => number } = {}): World {
  const clock = virtualClock()
  const hub = createMemoryHub({ clock, ...init })
  const folders: string[] = []
  const meshes: Mesh[] = []
  return {
    clock,
    hub,
    async peer(options = {}) {
      const identity = options.identity ?? newIdentity()
      const directory = await mkdtemp(join(tmpdir(), 'weft-mesh-'))
      folders.push(directory)
      const files = options.files ?? memoryFiles()
      const counters = new Map<string, number>()
      const events: string[] = []
      const network = options.network ?? hub.network(identity.id)
      const store = options.store ?? (await createBlobStore({ directory }))
      const mesh = createMesh({
        network,
        clock,
        random: seededRandom(folders.length),
        store,
        logger: QUIET,
        telemetry: { count: (name, by = 1) => void counters.set(name, (counters.get(name) ?? 0) + by) },
        loadManifest: () => Promise.resolve(undefined),
        ...options,
        files,
        identity,
      })
      mesh.on({
        joined: (peer) => events.push(`joined ${peer}`),
        left: (peer, farewell) => events.push(`left ${peer} ${farewell}`),
        changed: (kind, key, author) => events.push(`changed ${kind} ${key} ${author}`),
      })
      await mesh.start()
      meshes.push(mesh)
      return { id: identity.id, identity, network, mesh, store, files, counters, events }
    },
    async end() {
      hub.tamper(undefined)
      const ends = Promise.all(meshes.map((mesh) => mesh.stop()))
      await clock.advance(10_000)
      await ends
      for (const folder of folders) await rm(folder, { recursive: true, force: true })
    },
  }
}

export function profile(name: string, changes: Partial<OwnProfile> = {}): OwnProfile {
  return {
    name,
    version: '0.1.0',
    state: 'running',
    threads: 2,
    hardware: {
      platform: 'linux',
      arch: 'x64',
      cpu: 'test',
      cores: 4,
      memory_total: 2 ** 33,
      memory_free: 2 ** 32,
      memory_quota: 2 ** 31,
      speed: 1e9,
      kernel: 'test',
    },
    guests: { memory: 1 << 28, sessions: 2 },
    ...changes,
  }
}

export const DIGEST = 'ab'.repeat(32)
