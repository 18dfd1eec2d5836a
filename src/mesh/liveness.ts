/** Who is there: one state a peer, out of what the network says and what the peer says of itself. */
import type { ConnectedPeer, Network } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { CONNECTING_KEEP_MS, MAX_CONNECTING } from './limits.ts'
import type { PeerState } from './types.ts'

export interface Liveness {
  start(): void
  stop(): void
  state(peer: string): PeerState
  /** Directly, now. */
  isConnected(peer: string): boolean
  /** Connected, or in a large mesh heard of lately through others: its state is `connected` or `draining`. */
  isThere(peer: string): boolean
  /** Connected, or being dialled. */
  isKnown(peer: string): boolean
  /** Peers that are so, or were dialled lately. */
  count(): number
  connections(): ReadonlyMap<string, ConnectedPeer>
  /** Connected now, or being dialled. */
  known(): string[]
  /** It said goodbye: it counts as away now, before its connection ends. */
  farewell(peer: string): void
}

export interface LivenessNeeds {
  readonly network: Network
  readonly clock: Clock
  /** It was removed, or this peer was: nobody dials it any more. @default nobody was */
  readonly isRemoved?: (peer: string) => boolean
  /** The peer's own profile says that it is about to leave. */
  readonly isDraining: (peer: string) => boolean
  /** Others have heard it lately, and after this time of the clock. */
  readonly isToldOf: (peer: string, after: number) => boolean
}

export interface LivenessEvents {
  joined(peer: string): void
  left(peer: string, farewell: boolean): void
}

export function createLiveness(needs: LivenessNeeds, events: LivenessEvents): Liveness {
  const { network } = needs
  const present = new Set<string>()
  /** When it was dialled last. */
  const dialled = new Map<string, number>()
  const gone = new Set<string>()
  /** When a connection to it ended last. */
  const lost = new Map<string, number>()
  let off: (() => void) | undefined

  const join = (peer: string): void => {
    gone.delete(peer)
    dialled.delete(peer)
    lost.delete(peer)
    if (present.has(peer)) return
    present.add(peer)
    events.joined(peer)
  }

  const isDialled = (peer: string): boolean =>
    needs.clock.now() - (dialled.get(peer) ?? -Infinity) < CONNECTING_KEEP_MS && needs.isRemoved?.(peer) !== true

  const leave = (peer: string, farewell: boolean): void => {
    if (!present.delete(peer)) return
    note(lost, peer)
    events.left(peer, farewell)
  }
  const note = (times: Map<string, number>, peer: string): void => {
    times.delete(peer)
    times.set(peer, needs.clock.now())
    if (times.size > MAX_CONNECTING) times.delete(times.keys().next().value!)
  }

  const isThere = (peer: string): boolean =>
    present.has(peer) || (!isDialled(peer) && needs.isToldOf(peer, lost.get(peer) ?? -Infinity))

  return {
    start() {
      off = network.on({
        connected: (peer) => join(peer.id),
        connecting: (peer) => {
          if (!present.has(peer)) note(dialled, peer)
        },
        disconnected: (peer) => {
          gone.delete(peer)
          dialled.delete(peer)
          leave(peer, false)
        },
      })
      for (const peer of network.connected()) join(peer.id)
    },
    stop() {
      off?.()
      off = undefined
      present.clear()
      dialled.clear()
      gone.clear()
      lost.clear()
    },
    state(peer) {
      if (isThere(peer)) return needs.isDraining(peer) ? 'draining' : 'connected'
      return isDialled(peer) ? 'connecting' : 'away'
    },
    isConnected: (peer) => present.has(peer),
    isThere,
    isKnown: (peer) => present.has(peer) || isDialled(peer),
    count: () => present.size + dialled.size,
    connections: () => new Map(network.connected().map((peer) => [peer.id, peer])),
    known: () => [...present, ...[...dialled.keys()].filter(isDialled)],
    farewell(peer) {
      if (!present.has(peer) || gone.has(peer)) return
      gone.add(peer)
      leave(peer, true)
    },
  }
}
