/** What ties a peer to its mesh: what it hears of others reaches the parts that care, and they hear of it. */
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import type { CancelTimer } from '../util/index.ts'
import type { Library } from './library.ts'
import type { Parts } from './parts.ts'
import type { Placing } from './placing.ts'
import { knownTrial } from './profile.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { VERSION } from './version.ts'

/** How often free memory is looked at. */
const FRESH_MS = 10_000

export interface Joining {
  readonly mesh: Mesh
  readonly network: Network
  readonly library: Library
  readonly placing: Placing
  /** What goes over other peers, and hears when one is lost. */
  readonly lost: readonly { peerLost(peer: string, why?: string): void }[]
  readonly profile: () => HardwareProfile
  readonly emit: (event: string, data: PeerEvent['data']) => void
}

/** @returns how to end what it keeps doing */
export async function joinMesh(parts: Parts, joining: Joining): Promise<CancelTimer> {
  const { mesh, network, library, placing, lost, profile, emit } = joining
  mesh.on({
    changed: (kind, key) => {
      if (kind === 'placement') placing.reconcile()
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
  const stopFresh = keepFresh(parts, profile, publish)
  for (const manifest of library.list()) await mesh.announceManifest(manifest)
  placing.reconcile()
  void knownTrial(parts.paths.state).then((trial) => {
    parts.trial.value = trial
    return publish().catch(() => undefined)
  })
  return stopFresh
}

/** Free memory moves; a change of a sixteenth is worth telling. Returns how to end it. */
function keepFresh(parts: Parts, profile: () => HardwareProfile, publish: () => Promise<void>): CancelTimer {
  let told = profile().memory_free
  let cancel: CancelTimer
  const look = (): void => {
    const free = profile().memory_free
    if (Math.abs(free - told) > told / 16) {
      told = free
      publish().catch(() => undefined)
    }
    cancel = parts.clock.after(FRESH_MS, look)
  }
  cancel = parts.clock.after(FRESH_MS, look)
  return () => cancel()
}
