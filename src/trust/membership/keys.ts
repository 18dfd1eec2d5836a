/** The keys that follow from a membership: the door's, the same for ever, and the group's, another one each epoch. */
import { hkdfSync } from 'node:crypto'
import { SealError } from './errors.ts'
import { openKey } from './seal.ts'
import { sealedFor } from './state.ts'
import type { ClusterState } from './state.ts'

/** Sleepers announce themselves under the key that they know; older ones find the others by their addresses. */
const KEPT_EPOCHS = 4

/**
 * Takes the place of a network key in the handshake. Whoever has been invited knows it, whoever was removed still does:
 * it keeps strangers from seeing anything at all, and lets in nobody, which the log alone does.
 */
export function doorKey(cluster: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', Buffer.from(cluster, 'hex'), 'weft/1 cluster', 'weft/1 door', 32))
}

function opened(...asked: Parameters<typeof openKey>): Uint8Array | undefined {
  try {
    return openKey(...asked)
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}

export interface GroupKeys {
  /** Opens the key of the present epoch, where it is a new one. */
  update(state: ClusterState): void
  /** The present one first; none where this peer is no member. */
  list(): readonly Uint8Array[]
}

/** @param seed of the identity of this peer */
export function createGroupKeys(self: string, seed: Uint8Array): GroupKeys {
  let known: readonly { readonly epoch: number; readonly ephemeral: string; readonly key: Uint8Array }[] = []
  return {
    update(state) {
      const sealed = sealedFor(state, self)
      if (sealed === undefined) {
        known = []
        return
      }
      const [latest] = known
      if (latest?.epoch === state.epoch && latest.ephemeral === sealed.ephemeral) return
      const key = opened(seed, { salt: state.random, epoch: state.epoch, peer: self }, sealed)
      // an admin that seals badly to one member keeps it from hearing who is nearby, and from nothing else
      if (key === undefined) return
      known = [{ epoch: state.epoch, ephemeral: sealed.ephemeral, key }, ...known].slice(0, KEPT_EPOCHS)
    },
    list: () => known.map(({ key }) => key),
  }
}
