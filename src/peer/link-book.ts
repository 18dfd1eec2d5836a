/** The pairs that this peer is one half of: what heart-beats, transfers and probes have shown of the way to each other. */
import type { MeasuredLink } from '../mesh/index.ts'
import type { ConnectedPeer, ProbeResult } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import type { LinkStatus } from './link-types.ts'

/** A line of today says little of one of an hour ago. */
const KEEP_MS = 3_600_000
/** A transfer that was slower says that the peer or the disk was: the best of so long counts. */
const BEST_MS = 600_000
/** Pairs that are told: every profile of a mesh goes to every peer, so that each costs 160 bytes times all of them. */
const TOLD_LINKS = 16
/** Peers whose bandwidth is remembered. */
const MAX_PEERS = 1_024

interface Measured {
  readonly rate: number
  readonly from: 'transfer' | 'probe'
  readonly at: number
}

interface Bandwidth {
  readonly down: Measured | null
  readonly up: Measured | null
}

const UNKNOWN: Bandwidth = { down: null, up: null }

export class LinkBook {
  readonly #clock: Clock
  readonly #peers = new Map<string, Bandwidth>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What came from a peer in a real transfer. It may have waited for the peer's disk, so it is a lower bound. */
  delivered(peer: string, rate: number): void {
    const known = this.#of(peer)
    const now = this.#clock.now()
    const stands = known.down !== null && known.down.rate > rate && now - known.down.at < BEST_MS
    if (rate > 0 && !stands) this.#set(peer, { ...known, down: { rate, from: 'transfer', at: now } })
  }

  probed(peer: string, { down, up }: ProbeResult): void {
    const known = this.#of(peer)
    const measured = (rate: number | null, before: Measured | null): Measured | null =>
      rate === null ? before : { rate, from: 'probe', at: this.#clock.now() }
    if (down !== null || up !== null) this.#set(peer, { down: measured(down, known.down), up: measured(up, known.up) })
  }

  /** Our addresses have changed: what was measured went another way. */
  forget(): void {
    this.#peers.clear()
  }

  status(peer: ConnectedPeer): LinkStatus {
    const { down, up } = this.#of(peer.id)
    const newest = down === null || (up !== null && up.at > down.at) ? up : down
    return {
      path: peer.relayed === true ? 'relayed' : 'direct',
      jitter_ms: peer.jitter ?? null,
      loss: peer.loss ?? null,
      clock_ahead_ms: rounded(peer.ahead ?? null),
      bandwidth:
        newest === null
          ? null
          : {
              down: down?.rate ?? null,
              up: up?.rate ?? null,
              from: newest.from,
              age_s: Math.round((this.#clock.now() - newest.at) / 1000),
            },
    }
  }

  /** For the record of this peer: of more pairs than it tells, those whose bandwidth is known, then the nearest. */
  told(connected: readonly ConnectedPeer[]): MeasuredLink[] {
    return this.links(connected).slice(0, TOLD_LINKS)
  }

  /** All that have been measured. */
  links(connected: readonly ConnectedPeer[]): MeasuredLink[] {
    const distance = ({ id, rtt }: ConnectedPeer): number => (this.#of(id) === UNKNOWN ? 1e9 : 0) + (rtt ?? 1e8)
    return [...connected]
      .filter(({ rtt }) => rtt !== null)
      .sort((left, right) => distance(left) - distance(right) || (left.id < right.id ? -1 : 1))
      .map((peer) => {
        const { down, up } = this.#of(peer.id)
        return {
          peer: peer.id,
          rtt_ms: rounded(peer.rtt),
          jitter_ms: rounded(peer.jitter ?? null),
          loss: rounded(peer.loss ?? null),
          down: rounded(down?.rate ?? null),
          up: rounded(up?.rate ?? null),
          relayed: peer.relayed === true,
        }
      })
  }

  #of(peer: string): Bandwidth {
    const known = this.#peers.get(peer) ?? UNKNOWN
    const fresh = (one: Measured | null): Measured | null =>
      one !== null && this.#clock.now() - one.at < KEEP_MS ? one : null
    const [down, up] = [fresh(known.down), fresh(known.up)]
    return down === null && up === null ? UNKNOWN : { down, up }
  }

  #set(peer: string, bandwidth: Bandwidth): void {
    this.#peers.delete(peer)
    this.#peers.set(peer, bandwidth)
    const [oldest] = this.#peers.keys()
    if (this.#peers.size > MAX_PEERS && oldest !== undefined) this.#peers.delete(oldest)
  }
}

/** Three digits: what is told to the mesh is not worth more. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(3))
}
