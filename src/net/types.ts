/** The network as the other rooms see it: peers by id, framed channels, and what was seen but not let in. */
import type { Frame } from './frame.ts'

/** Frames both ways over one kept-open stream, with back-pressure on both sides. */
export interface Channel {
  /** PeerId of the other end, or the name of a local process. */
  readonly remote: string
  /** Resolves when the frame may be followed by another (the transport's buffer has room). @throws ChannelClosedError */
  send(frame: Frame): Promise<void>
  /**
   * Called for each frame, in order. While more than a few returned promises are pending the stream is not read
   * further. An error that it throws aborts the channel. Must be set before the next tick after the channel appears.
   */
  onFrame(handler: (frame: Frame) => void | Promise<void>): void
  /** Resolves once, when the channel has ended, with the reason if it was not in order. */
  readonly closed: Promise<Error | undefined>
  /** Ends after what was sent has been flushed. */
  close(): Promise<void>
  abort(reason: Error): void
}

export interface Membership {
  /** Of the membership log; 0 in open and keyed meshes. */
  readonly epoch: number
  /** Whether a peer may do this: `connect`, `compute`, `fetch`, ... */
  admits(peer: string, purpose: string): boolean
  /** Removed from a cluster for good: it is cut off before it can say anything. Never so where there is no log. */
  isRemoved(peer: string): boolean
  /** Of one that belongs to the mesh: the rule of the site's policy that does not let it connect. @default never one */
  keptOutBy?(peer: string): string | undefined
}

export interface ConnectedPeer {
  readonly id: string
  /** Multiaddrs that reached it, or from which it reached us. */
  readonly addresses: readonly string[]
  readonly rtt: number | null
  /** Milliseconds by which a round trip differs from the one before, smoothed. */
  readonly jitter?: number | null
  /** Share of the last heart-beats that were not answered in time. */
  readonly loss?: number | null
  /** Milliseconds by which its clock is ahead of this machine's. */
  readonly ahead?: number | null
  /** Its frames go through a third peer. */
  readonly relayed?: boolean
  /** Software version that it named in the hello. */
  readonly version: string
  readonly name: string
  readonly direction: 'inbound' | 'outbound'
  /** Protocol version that both speak. */
  readonly protocol: number
}

export interface Refusal {
  readonly id: string | null
  readonly address: string | null
  readonly code: string
  readonly why: string
  readonly hint: string
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface NetworkEvents {
  /** The hello is done: the peer is one of ours. */
  connected?(peer: ConnectedPeer): void
  /** Known, and being dialled again. */
  connecting?(peer: string): void
  /** `why`: `frozen` (a heart-beat was missed), `stopped` (by this side) or `lost`. */
  disconnected?(peer: string, why: 'frozen' | 'lost' | 'stopped'): void
  refused?(refusal: Refusal): void
  /** The same once more, for the same reason: nothing that a person has not read, and all the same an attempt. */
  refusedAgain?(refusal: Refusal): void
  /** Waits for a person (`--lan confirm`). */
  pending?(peer: string, name: string): void
  /** Our own listening addresses changed, or the circuits by which others reach us. */
  addresses?(addresses: readonly string[]): void
  /** A joined peer can be reached at these: what a caller keeps and gives back as `knownPeers` at the next start. */
  reachable?(peer: string, addresses: readonly string[]): void
}

export interface InterfaceChoice {
  readonly name: string
  readonly address: string
  readonly used: boolean
  readonly why: string
  /** Peers heard on it by multicast DNS; null where they are not asked for. */
  readonly heard?: number | null
}

/**
 * Whether others can dial this peer: `public` when all who tried could, `private` when one could not or nothing is
 * listened on.
 */
export type Reachability = 'public' | 'private' | 'unknown'

export interface ReachView {
  readonly reachability: Reachability
  /** Multiaddrs through relays, by which others reach this peer. */
  readonly circuits: readonly string[]
  /** What it does for others: places that it keeps, circuits that it carries now. */
  readonly relaying: { readonly reservations: number; readonly circuits: number }
}

export interface Network {
  readonly id: string
  addresses(): readonly string[]
  interfaces(): readonly InterfaceChoice[]
  reach(): ReachView
  connected(): readonly ConnectedPeer[]
  refusals(): readonly Refusal[]
  /** Serves a protocol (`/weft/ring/1`); the membership is asked for `purpose` before the handler sees anything. */
  handle(protocol: string, purpose: string, handler: (channel: Channel) => void): void
  /**
   * The same, and also while the greeting is under way: what decides whether it may end well. The membership is asked
   * first here too; the identity of the peer is proven. `asks`: a peer may have it in place of a greeting, and keeps its
   * connection for as long as such a channel lasts; the handler sees to it that it ends.
   * @default 'greets'
   */
  handleEarly(protocol: string, purpose: string, handler: (channel: Channel) => void, early?: 'greets' | 'asks'): void
  /** The membership has changed: who is not admitted any more is cut off, and channels for what it may not do end. */
  review(): void
  /** Opens a channel to a connected or dialable peer. @throws PeerUnreachableError, NotAdmittedError */
  open(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel>
  /**
   * The same over a lane: a connection of its own, for channels whose round trips matter. Where there is none to be
   * had, an ordinary channel.
   */
  openLane(peer: string, protocol: string, signal?: AbortSignal): Promise<Channel>
  /** Dials a multiaddr and keeps at it, with back-off, until `stop`. */
  keep(address: string): void
  /** Where peers are that it is not told to keep: asked when a channel to one is wanted. Multiaddrs, with or without the id. */
  lookUp(addressesOf: (peer: string) => readonly string[]): void
  /**
   * While watched, a peer that does not answer for 2.5 s (up to 4.5 s where beats differ as on a line that loses packets) is
   * reported `disconnected` as frozen, and its connection ends.
   * Returns how to stop; watches of one peer add up.
   */
  watch(peer: string): () => void
  /** Milliseconds of a round trip of `bytes` over a kept-open channel. @throws PeerUnreachableError */
  ping(peer: string, bytes: number, signal?: AbortSignal): Promise<number>
  /** Lets a pending newcomer in, or keeps it out for this run. */
  decide(peer: string, admit: boolean): void
  on(events: NetworkEvents): () => void
  stop(): Promise<void>
}
