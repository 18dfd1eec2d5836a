/** Placements name peers by their ids, by `origin`, or as people do: by a name, or a part of an id that fits only one. */
import type { PlacementFile, PlacementStage } from '../pipeline/index.ts'
import { isPeerId } from '../trust/index.ts'
import { findPeer } from './find-peer.ts'
import { PeerNotFoundError } from './errors.ts'
import type { PeerAccess } from './peer-access.ts'

export interface KnownPeer {
  readonly id: string
  readonly name: string
}

/** Peers that a running peer knows, and members of its cluster, also those that are away. */
export async function knownPeers(access: PeerAccess, signal: AbortSignal): Promise<readonly KnownPeer[]> {
  const { peer, peers, cluster } = await access.status(signal)
  const called = [peer, ...peers]
  if (cluster === undefined || cluster === null) return called
  const shown = await access.cluster({ do: 'show' }, signal)
  const members = shown.schema === 'weft.cluster/1' ? shown.members : []
  // a member's name in the log is its own: nobody else's is taken for it
  return [...members, ...called.filter(({ id, name }) => !members.some((one) => one.id === id || one.name === name))]
}

/** With ids in the place of names; what fits nobody stays as it is, and is refused by whoever takes it. @throws PeerNotFoundError where it fits several */
export async function namedPlacement<T>(
  access: PeerAccess,
  placement: T | PlacementFile,
  signal: AbortSignal,
): Promise<T | PlacementFile> {
  if (!isFile(placement)) return placement
  const { stages, replicas } = placement
  if ([...stages, ...(replicas ?? [])].every(({ peer }) => isId(peer))) return placement
  const known = await knownPeers(access, signal)
  const withId = (stage: PlacementStage): PlacementStage => ({ ...stage, peer: idOf(known, stage.peer) })
  return {
    ...placement,
    stages: stages.map(withId),
    ...(replicas === undefined ? {} : { replicas: replicas.map(withId) }),
  }
}

function isFile(placement: unknown): placement is PlacementFile {
  return typeof placement === 'object' && placement !== null && 'stages' in placement
}

/** Of a peer, or the word for the one that is asked. */
export function isId(peer: string): boolean {
  return peer === 'origin' || isPeerId(peer)
}

function idOf(known: readonly KnownPeer[], peer: string): string {
  if (isId(peer)) return peer
  try {
    return findPeer(known, peer).id
  } catch (error) {
    if (error instanceof PeerNotFoundError && (error.details['matches'] as readonly string[]).length === 0) return peer
    throw error
  }
}
