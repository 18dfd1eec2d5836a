/** Who is there: one state a peer, out of what the network says and what the peer says of itself. */
import type { ConnectedPeer, Network } from '../net/index.ts'
import type { PeerState } from './types.ts'

export interface Liveness {
  start(): void
  stop(): void
  state(peer: string): PeerState
  isConnected(peer: string): boolean
  connection(peer: string): ConnectedPeer | undefined
  /** Connected now, or being dialled. */
  known(): string[]
  /** It said goodbye: it counts as away now, before its connection ends. */
  farewell(peer: string): void
}

export interface LivenessNeeds {
  readonly network: Network
  /** The peer's own profile says that it is about to leave. */
  readonly isDraining: (peer: string) => boolean
}

export interface LivenessEvents {
  joined(peer: string): void
  left(peer: string, farewell: boolean): void
}

export function createLiveness(needs: LivenessNeeds, events: LivenessEvents): Liveness {
  const { network } = needs
  const present = new Set<string>()
  const dialled = new Set<string>()
  const gone = new Set<string>()
  let off: (() => void) | undefined

  const join = (peer: string): void => {
    gone.delete(peer)
    dialled.delete(peer)
    if (present.has(peer)) return
    present.add(peer)
    events.joined(peer)
  }

  const leave = (peer: string, farewell: boolean): void => {
    if (present.delete(peer)) events.left(peer, farewell)
  }

  return {
    start() {
      off = network.on({
        connected: (peer) => join(peer.id),
        connecting: (peer) => {
          if (!present.has(peer)) dialled.add(peer)
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
    },
    state(peer) {
      if (present.has(peer)) return needs.isDraining(peer) ? 'draining' : 'connected'
      return dialled.has(peer) ? 'connecting' : 'away'
    },
    isConnected: (peer) => present.has(peer),
    connection: (peer) => network.connected().find(({ id }) => id === peer),
    known: () => [...present, ...dialled],
    farewell(peer) {
      if (!present.has(peer) || gone.has(peer)) return
      gone.add(peer)
      leave(peer, true)
    },
  }
}
