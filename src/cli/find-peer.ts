/** Peers are named by id, by name, or by a beginning or an end of the id that fits only one. */
import { nearest } from '../util/index.ts'
import { PeerNotFoundError } from './errors.ts'

interface Named {
  readonly id: string
  readonly name: string
}

/** Short ids show four characters at each end; fewer would fit by accident. */
const PART_MIN = 4

/** @throws PeerNotFoundError when none fits, or more than one. */
export function findPeer<T extends Named>(peers: readonly T[], wanted: string): T {
  const exact = peers.find((peer) => peer.id === wanted)
  if (exact !== undefined) return exact
  const named = peers.filter((peer) => peer.name === wanted)
  const partly = wanted.length < PART_MIN ? [] : peers.filter((peer) => fits(peer.id, wanted))
  // A peer that is dialled and was turned away stands in both lists: it is one peer.
  const found = [...new Map((named.length > 0 ? named : partly).map((peer) => [peer.id, peer])).values()]
  const [only] = found
  if (only === undefined || found.length > 1) {
    throw new PeerNotFoundError(
      wanted,
      found.map((peer) => peer.id),
      nearest(
        wanted,
        peers.map(({ name }) => name),
      ),
    )
  }
  return only
}

function fits(id: string, part: string): boolean {
  const [start, end] = part.split('…')
  if (end !== undefined) return id.startsWith(start ?? '') && id.endsWith(end)
  return id.startsWith(part) || id.endsWith(part)
}
