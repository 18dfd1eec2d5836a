/** How good the way to a peer is, from the heart-beats that go over it anyway. */
import { LOSSY_FACTOR, LOSSY_WAIT_MS, MAX_TARGETS, STEADY_BEATS_MS, WATCHED_WAIT_MS } from './constants.ts'

/** Beats that loss is counted over: five minutes of a connection that nobody watches. */
const BEATS = 64
/**
 * Round trips that the way is judged by. A busy machine answers late, at its start very late, and nothing makes an answer early:
 * the quicker ones say what the line is, and one that is late says nothing of it. From the quickest to the lower quartile is
 * about as far as from there to the middle, where the machines have no part in it.
 */
const TRIPS = 9
const [QUARTER, HALF] = [0.25, 0.5]
/** A late one makes two steps. */
const LATE_STEPS = 2
/**
 * So many in a row that are all longer, or all shorter, by a quarter and a millisecond, and that differ less from each other
 * than from what was known, are the line, which has changed. They follow each other quicker (`DOUBT_BEAT_MS`).
 */
const AGREED = 6
const FAR = 1.25
const FAR_MS = 1

export interface LinkQuality {
  /**
   * Milliseconds of the usual one, as the quicker ones let expect; while a beat is not answered in time, what it takes so far;
   * null until measured.
   */
  readonly rtt: number | null
  /** Milliseconds by which one round trip differs from the one before, the two largest left out; null until there were two. */
  readonly jitter: number | null
  /** Share of the last heart-beats that were not answered in time; null until there was one. */
  readonly loss: number | null
  /** Milliseconds by which its clock is ahead of this machine's, by what it said when it greeted; null where it said nothing. */
  readonly ahead: number | null
}

/** Round trips of one connection: another one may go another way. */
export class RoundTrips {
  /** The newest last. */
  #trips: number[] = []
  /** The last ones in a row that lie on one side of what was known before the first of them. */
  #far: number[] = []
  #known = 0

  /** Another beat should follow soon, to tell a line that has changed from a machine that is late. */
  get doubtful(): boolean {
    return this.#far.length > 0
  }

  get rtt(): number | null {
    const sorted = sortedUp(this.#trips)
    const [quickest, quarter, middle] = [0, QUARTER, HALF].map(
      (share) => sorted[Math.floor((sorted.length - 1) * share)],
    )
    return quickest === undefined ? null : Math.min(middle!, 2 * quarter! - quickest)
  }

  get jitter(): number | null {
    const steps = this.#trips.slice(1).map((trip, index) => Math.abs(trip - this.#trips[index]!))
    if (steps.length === 0) return null
    const sorted = sortedUp(steps)
    const counted = sorted.slice(0, Math.max(1, sorted.length - LATE_STEPS))
    return counted.reduce((sum, step) => sum + step, 0) / counted.length
  }

  add(milliseconds: number): void {
    const before = this.#far.at(-1)
    if (before === undefined) this.#known = this.rtt ?? milliseconds
    const side = sideOf(milliseconds, this.#known)
    const isMore = before !== undefined && side !== 0 && side === sideOf(before, this.#known)
    // On the other side, or on neither: those before say nothing of the line.
    if (!isMore) this.#far = side === 0 || before !== undefined ? [] : [milliseconds]
    // Late ones in quick succession meet the same busy moment, so all but the first say no more than one. Nothing makes one early.
    if (!isMore || side < 0) this.#keep(milliseconds)
    if (isMore) this.#doubt(milliseconds)
  }

  #doubt(milliseconds: number): void {
    this.#far.push(milliseconds)
    if (this.#far.length < AGREED) return
    const sorted = sortedUp(this.#far)
    const [quickest, middle] = [sorted[0]!, sorted[AGREED >> 1]!]
    if (middle - quickest < Math.abs(quickest - this.#known)) this.#trips = this.#far
    this.#far = []
  }

  #keep(milliseconds: number): void {
    if (this.#trips.length === TRIPS) this.#trips.shift()
    this.#trips.push(milliseconds)
  }
}

function sortedUp(values: readonly number[]): number[] {
  return values.toSorted((one, other) => one - other)
}

/** 1: longer by far, -1: shorter by far. */
function sideOf(trip: number, known: number): number {
  return Number(trip > known * FAR + FAR_MS) - Number(known > trip * FAR + FAR_MS)
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

  /** Beats differ as on a line that loses packets. */
  losesPackets(peer: string): boolean {
    return this.patience(peer) > WATCHED_WAIT_MS
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
