/** What ties a peer to its mesh: what it hears of others reaches the parts that care, and they hear of it. */
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import type { RingService } from '../pipeline/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'
import type { Placing } from './placing.ts'
import { kernelTrial } from './profile.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { VERSION } from './version.ts'

/** How often free memory is looked at. */
const FRESH_MS = 10_000

export interface Joining {
  readonly mesh: Mesh
  readonly network: Network
  readonly library: Library
  readonly placing: Placing
  readonly ring: RingService
  readonly profile: () => HardwareProfile
  readonly emit: (event: string, data: PeerEvent['data']) => void
}

export async function joinMesh(parts: Parts, joining: Joining): Promise<void> {
  const { mesh, network, library, placing, ring, profile, emit } = joining
  mesh.on({
    changed: (kind, key) => {
      if (kind === 'placement') placing.reconcile()
      if (kind === 'placement') emit('placement.changed', { model: key })
    },
    joined: (peer) => emit('peer.joined', { peer }),
    left: (peer, farewell) => {
      ring.peerLost(peer, farewell ? 'it left the mesh' : 'it stopped answering')
      emit('peer.left', { peer, farewell })
    },
  })
  network.on({
    reachable: (peer, addresses) => parts.book.reachable(peer, addresses),
    disconnected: (peer) => ring.peerLost(peer),
    refused: (refusal) =>
      emit('peer.refused', { id: refusal.id, address: refusal.address, code: refusal.code, why: refusal.why }),
    pending: (peer, name) => emit('peer.pending', { peer, name }),
  })
  await mesh.start()
  const publish = (): Promise<void> =>
    mesh.publishProfile({
      name: parts.name,
      version: VERSION,
      state: 'running',
      threads: parts.threads,
      hardware: profile(),
      guests: { memory: profile().memory_quota, sessions: 64 },
    })
  await publish()
  keepFresh(parts, profile, publish)
  for (const manifest of library.list()) await mesh.announceManifest(manifest)
  placing.reconcile()
  void kernelTrial(parts.paths.state).then((trial) => {
    parts.trial.value = trial
    return publish().catch(() => undefined)
  })
}

/** Free memory moves; a change of a sixteenth is worth telling. Ends with the mesh: publishing then fails. */
function keepFresh(parts: Parts, profile: () => HardwareProfile, publish: () => Promise<void>): void {
  let told = profile().memory_free
  const look = (): void => {
    const free = profile().memory_free
    const worth = Math.abs(free - told) > told / 16
    if (worth) told = free
    ;(worth ? publish() : Promise.resolve()).then(
      () => parts.clock.after(FRESH_MS, look),
      () => undefined,
    )
  }
  parts.clock.after(FRESH_MS, look)
}
