/** How good the way to a peer is, from the heart-beats that go over it anyway. */
import { LOSSY_FACTOR, LOSSY_WAIT_MS, MAX_TARGETS, STEADY_BEATS_MS, WATCHED_WAIT_MS } from './constants.ts'

/** Beats that loss is counted over: five minutes of a connection that nobody watches. */
const BEATS = 64
/** A newer round trip counts so much against all older ones. */
const RTT_WEIGHT = 1 / 4
/** As RTP counts it (RFC 3550, section 6.4.1). */
const JITTER_WEIGHT = 1 / 16

export interface LinkQuality {
  /** Milliseconds, smoothed; null until measured. */
  readonly rtt: number | null
  /** Milliseconds by which one round trip differs from the one before, smoothed; null until there were two. */
  readonly jitter: number | null
  /** Share of the last heart-beats that were not answered in time; null until there was one. */
  readonly loss: number | null
}

/** Round trips of one connection: another one may go another way. */
export class RoundTrips {
  rtt: number | null = null
  jitter: number | null = null
  #last: number | undefined

  add(milliseconds: number): void {
    this.rtt = this.rtt === null ? milliseconds : this.rtt + (milliseconds - this.rtt) * RTT_WEIGHT
    if (this.#last !== undefined) {
      const step = Math.abs(milliseconds - this.#last)
      this.jitter = (this.jitter ?? 0) + (step - (this.jitter ?? 0)) * JITTER_WEIGHT
    }
    this.#last = milliseconds
  }
}

/** The last beats to each peer. A missed one ends its connection, so they are kept beyond it. */
export class BeatHistory {
  /** Milliseconds of each; undefined: it was missed. */
  readonly #peers = new Map<string, (number | undefined)[]>()

  /** @param trip milliseconds; undefined: it was not answered in time */
  add(peer: string, trip: number | undefined): void {
    const beats = this.#peers.get(peer) ?? []
    if (beats.length === BEATS) beats.shift()
    beats.push(trip)
    // whoever was heard last stays: the map is in that order
    this.#peers.delete(peer)
    this.#peers.set(peer, beats)
    if (this.#peers.size <= MAX_TARGETS) return
    const [oldest] = this.#peers.keys()
    if (oldest !== undefined) this.#peers.delete(oldest)
  }

  loss(peer: string): number | null {
    const beats = this.#peers.get(peer)
    if (beats === undefined) return null
    return beats.filter((trip) => trip === undefined).length / beats.length
  }

  /** Milliseconds that a beat to a watched peer may take: more where those before it differ, as on a line that loses packets. */
  patience(peer: string): number {
    const trips = this.#peers.get(peer)?.filter((trip) => trip !== undefined) ?? []
    if (trips.length === 0) return WATCHED_WAIT_MS
    const spread = Math.max(...trips) - Math.min(...trips)
    const more = LOSSY_FACTOR * Math.max(0, spread - STEADY_BEATS_MS)
    return Math.min(LOSSY_WAIT_MS, WATCHED_WAIT_MS + more)
  }
}
