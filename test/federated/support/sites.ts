/** Whole federations of several peers in one process: real documents, folders, ledgers and frames, over wires in memory. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { Federation } from '../../../src/federated/index.ts'
import type { FederationNeeds } from '../../../src/federated/index.ts'
import { FrameChannel } from '../../../src/net/channel.ts'
import type { Channel } from '../../../src/net/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { newIdentity, verify } from '../../../src/trust/index.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { temporaryFolder } from './hospitals.ts'

const clock = systemClock()

/** Two ends of one channel; what one writes the other receives in a later turn. */
export function channelPair(left: string, right: string): readonly [Channel, Channel] {
  const ends: FrameChannel[] = []
  const wireTo = (other: number): ConstructorParameters<typeof FrameChannel>[1] => ({
    write(parts) {
      const bytes = new Uint8Array(Buffer.concat(parts))
      setImmediate(() => ends[other]!.receive(bytes))
      return true
    },
    pause: () => undefined,
    resume: () => undefined,
    end: () => setImmediate(() => ends[other]!.finished()),
    destroy: (reason) => setImmediate(() => ends[other]!.ended(reason)),
  })
  ends.push(new FrameChannel(right, wireTo(1)), new FrameChannel(left, wireTo(0)))
  return [ends[0]!, ends[1]!]
}

export interface TestSite {
  readonly identity: Identity
  readonly home: string
  federation: Federation
}

export type Handler = (channel: Channel) => void

export interface TestMesh {
  /** By PeerId; a handler of another's own takes a federation's place. */
  readonly handlers: Map<string, Handler>
  readonly admits: (from: string, peer: string) => boolean
  /** Whom the members admit, by PeerId; empty: everybody. */
  readonly removed: Set<string>
  /** A peer's end of a channel to another. */
  open(from: string, to: string): Channel
  /** @param identity of a site that was there before */
  site(name: string, changes?: Partial<FederationNeeds>, identity?: Identity): Promise<TestSite>
  stop(): Promise<void>
}

export function createTestMesh(folder: string): TestMesh {
  const handlers = new Map<string, Handler>()
  const removed = new Set<string>()
  const sites: TestSite[] = []
  const mesh: TestMesh = {
    handlers,
    removed,
    admits: (_, peer) => !removed.has(peer),
    open(from, to) {
      const handler = handlers.get(to)
      if (handler === undefined) throw new Error(`${to} cannot be reached`)
      const [mine, theirs] = channelPair(from, to)
      handler(theirs)
      return mine
    },
    async site(name, changes = {}, identity = newIdentity()) {
      const home = join(folder, name)
      mkdirSync(join(home, 'keys'), { recursive: true })
      const federation = await Federation.open({
        clock,
        random: systemRandom(),
        identity,
        verify: (bytes, signature) => verify(identity.id, bytes, signature),
        network: {
          handle: (_, __, handler) => void handlers.set(identity.id, handler),
          open: (to) => new Promise((resolve) => resolve(mesh.open(identity.id, to))),
          connected: () => [...handlers.keys()].filter((id) => id !== identity.id).map((id) => ({ id }) as never),
        },
        engine: createOrtEngine(),
        threads: 1,
        paths: { state: home, keys: join(home, 'keys') },
        admits: (peer) => mesh.admits(identity.id, peer),
        permit: () => undefined,
        isPresent: (peer) => handlers.has(peer),
        watch: () => () => undefined,
        nameOf: (peer) => peer,
        emit: () => undefined,
        log: () => undefined,
        ...changes,
      })
      const site = { identity, home, federation }
      sites.push(site)
      return site
    },
    async stop() {
      for (const { federation } of sites) await federation.stop()
    },
  }
  return mesh
}

/** A folder and a mesh of its own for each test of a file. */
export function eachWithMesh(use: (made: { readonly folder: string; readonly mesh: TestMesh }) => void): void {
  let made: { readonly folder: string; readonly mesh: TestMesh }
  beforeEach(() => {
    const folder = temporaryFolder()
    made = { folder, mesh: createTestMesh(folder) }
    use(made)
  })
  afterEach(async () => {
    await made.mesh.stop()
    rmSync(made.folder, { recursive: true, force: true })
  })
}
