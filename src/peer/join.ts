/** What ties a peer to its mesh: what it hears of others reaches the parts that care, and they hear of it. */
import { heartbeatMs } from '../mesh/index.ts'
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import type { CancelTimer, Clock } from '../util/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'
import type { Placing } from './placing.ts'
import { newsOf } from './profile-news.ts'
import type { Told } from './profile-news.ts'
import type { PlanMeasures } from './profile-plan.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { VERSION } from './version.ts'

/** How often it is looked whether there is something new to tell. */
const FRESH_MS = 10_000

export interface Joining {
  readonly mesh: Mesh
  readonly network: Network
  readonly library: Library
  readonly placing: Placing
  readonly measured: PlanMeasures
  /** What goes over other peers, and hears when one is lost. */
  readonly lost: readonly { peerLost(peer: string, why?: string): void }[]
  readonly profile: () => HardwareProfile
  /** Nothing is computed now. */
  readonly idle: () => boolean
  readonly emit: (event: string, data: PeerEvent['data']) => void
}

/** @returns how to end what it keeps doing */
export async function joinMesh(parts: Parts, joining: Joining): Promise<() => Promise<void>> {
  const { mesh, network, library, placing, measured, lost, profile, emit, idle } = joining
  const { profiling } = parts
  mesh.on({
    changed: (kind, key, author) => {
      if (kind === 'placement') placing.reconcile()
      if (kind === 'holdings') measured.held(author)
      if (kind === 'placement') emit('placement.changed', { model: key })
    },
    joined: (peer) => emit('peer.joined', { peer }),
    lied: (peer, address, index, why) => emit('peer.lied', { peer, code: 'WEFT-STO-003', why, address, index }),
    rotten: (address) => {
      library.mend(address).catch((error: unknown) => {
        parts.logger.error({ address, err: error }, 'a tensor that went bad on the disk could not be fetched again')
      })
    },
    left: (peer, farewell) => {
      if (!farewell) measured.left(peer)
      for (const each of lost) each.peerLost(peer, farewell ? 'it left the mesh' : 'it stopped answering')
      emit('peer.left', { peer, farewell })
    },
  })
  network.on({
    reachable: (peer, addresses) => parts.book.reachable(peer, addresses),
    disconnected: (peer) => {
      for (const each of lost) each.peerLost(peer)
    },
    refused: (refusal) =>
      emit('peer.refused', { id: refusal.id, address: refusal.address, code: refusal.code, why: refusal.why }),
    pending: (peer, name) => emit('peer.pending', { peer, name }),
  })
  await mesh.start()
  const now = (): Told => ({
    hardware: profile(),
    links: profiling.links.told(network.connected()),
    ...measured.told(),
  })
  const publish = ({ hardware, links, seen = [], short = [], use = [] }: Told): Promise<void> =>
    mesh.publishProfile({
      name: parts.name,
      version: VERSION,
      state: 'running',
      threads: parts.threads,
      hardware,
      guests: { memory: hardware.memory_quota, sessions: 64 },
      links,
      ...(seen.length === 0 ? {} : { seen }),
      ...(short.length === 0 ? {} : { short }),
      ...(use.length === 0 ? {} : { use }),
    })
  await publish(now())
  const fresh = keepFresh(parts.clock, now, publish, () => heartbeatMs(mesh.profiles().size))
  measured.onNews(() => fresh.look())
  for (const manifest of library.list()) await mesh.announceManifest(manifest)
  placing.reconcile()
  void profiling.start(network, idle).then(() => fresh.look())
  return async () => {
    fresh.stop()
    await profiling.measures.stop()
  }
}

/** Tells what is new whenever it is worth a record. */
function keepFresh(
  clock: Clock,
  now: () => Told,
  publish: (told: Told) => Promise<void>,
  /** Links that have changed go out no more often than a profile does anyway, as a sign of life: milliseconds. */
  heartbeat: () => number,
): { look(): void; stop(): void } {
  let told = now()
  let toldAt = clock.now()
  let stopped = false
  let cancel: CancelTimer = () => undefined
  const look = (): void => {
    cancel()
    if (stopped) return
    const next = now()
    const news = newsOf(told, next)
    // Pairs that are new are told at once where a profile is said as often as anywhere, and in a large mesh with the sign of life.
    const pause = { now: 0, links: heartbeat() - heartbeatMs(0), soon: heartbeat() }
    if (news !== null && clock.now() - toldAt >= pause[news]) {
      told = next
      toldAt = clock.now()
      publish(next).catch(() => undefined)
    }
    cancel = clock.after(FRESH_MS, look)
  }
  look()
  return {
    look,
    stop: () => {
      stopped = true
      cancel()
    },
  }
}
