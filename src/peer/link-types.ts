/** Pairs of peers and networks, as they are shown: plain data. */
import type { InterfaceChoice } from '../net/index.ts'

/** The way between this peer and another, as measured here. */
export interface LinkStatus {
  readonly path: 'direct' | 'relayed'
  /** By which a round trip differs from the one before. */
  readonly jitter_ms: number | null
  /** Share of the last heart-beats that were not answered in time. */
  readonly loss: number | null
  /** By which its clock is ahead of this machine's; null where it does not say. */
  readonly clock_ahead_ms?: number | null
  readonly bandwidth: {
    /** Bytes a second that came from it, and that went to it. */
    readonly down: number | null
    readonly up: number | null
    /** What the newer of the two comes from. */
    readonly from: 'transfer' | 'probe'
    readonly age_s: number
  } | null
}

/** A probe of one pair: a few echoes, then both ways, less than 2 MB and about a second. */
export interface LinkProbe {
  /** Median of the echoes; null where none came. */
  readonly rtt_ms: number | null
  /** Bytes a second from it, and to it; null where that could not be measured. */
  readonly down: number | null
  readonly up: number | null
  readonly bytes: number
  readonly ms: number
  readonly why: string | null
}

export interface NetVerdict {
  readonly state: 'good' | 'warning' | 'alone'
  readonly text: string
  /** What could be done, a line each. */
  readonly advice: readonly string[]
}

/** What the network looks like from this peer. */
export interface NetCheck {
  readonly schema: 'weft.netcheck/1'
  readonly peer: string
  readonly network: string
  readonly lan: 'open' | 'confirm' | 'off'
  readonly interfaces: readonly InterfaceChoice[]
  /** Multiaddrs that are announced. */
  readonly addresses: readonly string[]
  /** Whether others can dial this peer, as far as that is known. */
  readonly reachability: 'public' | 'private' | 'unknown'
  /** Multiaddrs through relays, by which others reach it. */
  readonly circuits: readonly string[]
  /** What it does for others as a relay: places that it keeps, circuits that it carries now. */
  readonly relaying: { readonly reservations: number; readonly circuits: number }
  readonly pairs: readonly ({
    readonly peer: string
    readonly name: string
    readonly rtt_ms: number | null
    /** Null where this check did not probe it. */
    readonly probe: LinkProbe | null
  } & LinkStatus)[]
  /** Peers that were seen and did not join. */
  readonly seen_not_joined: number
  readonly verdict: NetVerdict
}
