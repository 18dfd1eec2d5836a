/** A hop: one segment of a session's route at the peer that computes it, and what it needs to go on by another route. */
import type { DType, Frame, FrameInit, Network } from '../../net/index.ts'
import { frame } from '../../net/index.ts'
import type { CancelTimer } from '../../util/index.ts'
import type { StageHost } from '../host/stage-host.ts'
import { RUN } from '../host/protocol.ts'
import { RowDigest } from './digest.ts'
import { Feeds } from './feeds.ts'
import type { KeptChunk, KeptRows } from './kept-rows.ts'
import type { Link } from './links.ts'
import type { HopPrefix } from './prefixes.ts'
import type { RowCheck } from './row-check.ts'
import type { RouteOpen } from './protocol.ts'
import { Spans } from './spans.ts'
import type { Witness } from './witness.ts'

export interface HopInit {
  readonly origin: Link
  /** Of the model. */
  readonly digest: string
  readonly request: number
  readonly attempt: number
  readonly place: number
  readonly route: RouteOpen['route']
  readonly host: StageHost
  /** Number of the session in the host: origins choose theirs freely, so they may collide. */
  readonly local: number
  readonly kept: KeptRows
  readonly shadow: boolean
  /** Of an audited session. */
  readonly witness?: Witness | undefined
  /** What it looks at in rows. @default nothing */
  readonly check?: RowCheck | undefined
  /** Of the head: what guesses are sealed with. */
  readonly guessKey?: Uint8Array | undefined
  /** Its text begins with named runs. */
  readonly prefix?: HopPrefix | undefined
}

export class Hop {
  origin: Link
  /** By which its rows come. */
  previous: Link | undefined
  request: number
  readonly digest: string
  readonly from: number
  readonly to: number
  readonly host: StageHost
  readonly local: number
  readonly kept: KeptRows
  readonly spans = new Spans()
  readonly witness: Witness | undefined
  readonly check: RowCheck | undefined
  /** Undefined: nothing of it is kept for others. */
  prefix: HopPrefix | undefined
  readonly guessKey: Uint8Array | undefined
  attempt: number
  /** It follows a session and is not yet part of it. */
  shadow: boolean
  /** Of shadows behind it. */
  feeds = new Feeds()
  /** Place in the route. */
  place: number
  route: RouteOpen['route']
  /** Rows that its host was given: the position of the next, unless that rewinds. */
  given = 0
  /** Rows taken in: the position of the next. */
  taken = 0
  /** Rows are computed and kept, and not sent: from another attempt, or a lost neighbour, until `resume`. */
  paused: boolean
  /** What its host still computes for an older attempt counts up to this row. */
  keep = Infinity
  /** Rows of this attempt have been computed. */
  renewed = false
  /** Rows up to this one were sent in this attempt; undefined: none yet, and the next hop drops what it has beyond the first. */
  sentTo: number | undefined
  /** The next hop has the rows before this one already: a stage that is fed again computes them for itself. */
  sendFrom = 0
  /** Rows are not taken in: their digest was wrong, and what follows hangs on it. */
  deaf = false
  /** The origin has been told, in this attempt, that a neighbour is gone. */
  told = false
  /** Type of the rows that it sends. */
  wire: DType | undefined
  /** The last that the head has answered. */
  answered: Frame | undefined
  /** Frees the session unless its origin comes back. */
  orphaned: CancelTimer | undefined
  expire: CancelTimer = () => undefined
  stopWatching: () => void = () => undefined
  received = new RowDigest()
  sent = new RowDigest()

  constructor(init: HopInit) {
    const own = init.route[init.place]!
    this.origin = init.origin
    this.digest = init.digest
    this.request = init.request
    this.attempt = init.attempt
    this.place = init.place
    this.route = init.route
    this.from = own.from
    this.to = own.to
    this.host = init.host
    this.local = init.local
    this.kept = init.kept
    this.witness = init.witness
    this.check = init.check
    this.shadow = init.shadow
    this.prefix = init.prefix
    this.guessKey = init.guessKey
    // Where a prefix may be here, its origin says from which row on the next hop lacks it.
    this.paused = init.shadow || init.attempt > 0 || init.prefix !== undefined
  }

  get next(): string | undefined {
    return this.route[this.place + 1]?.peer
  }

  /** Who sends it rows; undefined: its origin, token ids. */
  get sender(): RouteOpen['route'][number] | undefined {
    return this.route[this.place - 1]
  }

  get before(): string {
    return this.place === 0 ? this.origin.peer : this.route[this.place - 1]!.peer
  }

  /** Another attempt: what comes by the old one is fenced from now on. */
  reroute(origin: Link, attempt: number, place: number, route: RouteOpen['route']): void {
    this.orphaned?.()
    this.orphaned = undefined
    this.origin = origin
    this.previous = undefined
    this.attempt = attempt
    this.place = place
    this.route = route
    this.shadow = false
    this.feeds = new Feeds()
    this.paused = true
    this.deaf = false
    this.told = false
    this.keep = Infinity
    this.renewed = false
    this.sentTo = undefined
    this.received = new RowDigest()
    this.sent = new RowDigest()
    this.kept.wake()
  }

  /**
   * A neighbour that freezes is noticed by its heartbeat, not by TCP; the origin may see it well. Each watches the other: what is
   * lost one way only is lost for both.
   */
  watchNeighbours(self: string, network: Network | null): void {
    const before = this.stopWatching
    const others = new Set([this.next, this.before].filter((peer) => peer !== undefined))
    others.delete(self)
    // The origin watches all of its route.
    others.delete(this.origin.peer)
    const ends = network === null ? [] : [...others].map((peer) => network.watch(peer))
    this.stopWatching = () => ends.forEach((end) => end())
    before()
  }

  /** A frame of this session, to its place or to the one behind it. */
  frame(init: FrameInit): Frame {
    return frame({ request: this.request, attempt: this.attempt, hop: this.place, ...init })
  }

  close(): void {
    this.expire()
    this.orphaned?.()
    this.stopWatching()
    this.kept.close()
  }
}

/** Of rows, those from `position` on; undefined: none. */
export function rowsFrom(chunk: KeptChunk, position: number): KeptChunk | undefined {
  const skip = Math.max(0, position - chunk.position)
  if (skip >= chunk.count) return undefined
  const rowBytes = chunk.payload.length / chunk.count
  return {
    position: chunk.position + skip,
    count: chunk.count - skip,
    payload: chunk.payload.subarray(skip * rowBytes),
  }
}

export interface FlaggedRows extends KeptChunk {
  readonly flags: number
}

/** A row that a token is to follow ends its frame: those from `tokensFrom` on. */
export function flagged(chunk: KeptChunk, tokensFrom: number): FlaggedRows[] {
  const { position, count, payload } = chunk
  const rowBytes = payload.length / count
  const end = position + count
  const pieces: FlaggedRows[] = []
  for (let from = position; from < end;) {
    const last = Math.max(from, tokensFrom)
    const to = Math.min(end, last + 1)
    const bytes = payload.subarray((from - position) * rowBytes, (to - position) * rowBytes)
    pieces.push({ position: from, count: to - from, payload: bytes, flags: last < end ? RUN.token : 0 })
    from = to
  }
  return pieces
}
