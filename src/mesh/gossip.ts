/**
 * Spreads records: pushed to all at once when they change here (in a large mesh to some), passed on once when they come from
 * elsewhere, and made good by comparing what is known with some peers every few seconds (anti-entropy), whatever was lost.
 */
import type { Channel, Network } from '../net/index.ts'
import type { CancelTimer, Clock, RandomSource } from '../util/index.ts'
import { GossipLink } from './gossip-link.ts'
import type { GossipLinkNeeds } from './gossip-link.ts'
import { MESH_PROTOCOL } from './gossip-wire.ts'
import type { Judged } from './intake.ts'
import {
  ANTI_ENTROPY_MS,
  ASK_AGAIN_MS,
  ASKED_MS,
  BUSY_COMPARE_FANOUT,
  COMPARE_FANOUT,
  DIGESTS_TOLD,
  DIRECT_FANOUT,
  FAREWELL_MS,
  FORWARD_FANOUT,
  FULL_MESH,
  LARGE_PUSH_FANOUT,
  OPENING_MS,
  REOPEN_FIRST_MS,
  REOPEN_LAST_MS,
} from './limits.ts'
import type { RecordBook } from './record-book.ts'
import { createPassingOn } from './passing-on.ts'
import type { PassingOn } from './passing-on.ts'
import { recordId } from './records.ts'
import type { MeshRecord } from './records.ts'
import { drawn } from './shuffle.ts'
import { SUM_BUCKETS } from './sums.ts'
import { createTurns } from './turns.ts'

export interface GossipNeeds {
  readonly network: Network
  readonly clock: Clock
  readonly random: RandomSource
  readonly book: RecordBook
  readonly isConnected: (peer: string) => boolean
  readonly connected: () => Iterable<string>
  /** Judges and keeps. */
  readonly offer: (bytes: Uint8Array, age: number, from: string) => Judged
  readonly farewell: (peer: string) => void
  /** Called at each round of anti-entropy. */
  readonly round: () => void
}

export class Gossip {
  readonly #needs: GossipNeeds
  readonly #links = new Map<string, GossipLink>()
  /** The same, to draw lots of without a copy. */
  #all: readonly GossipLink[] = []
  readonly #opening = new Set<string>()
  readonly #asking = new Set<string>()
  /** Milliseconds to the next try, a peer; grows while channels do not last, anew with each connection. */
  readonly #patience = new Map<string, number>()
  readonly #ending = new AbortController()
  readonly #mayCompare: () => boolean
  readonly #mayCompareInLarge: () => boolean
  readonly #mayTell: () => boolean
  readonly #asked: Asked
  readonly #passingOn: PassingOn
  #cancelRound: CancelTimer | undefined
  /** Records that were new here since the last round. */
  #news = 0
  #running = false

  constructor(needs: GossipNeeds) {
    this.#needs = needs
    this.#mayCompare = createTurns(needs.clock, COMPARE_FANOUT, ANTI_ENTROPY_MS)
    this.#mayCompareInLarge = createTurns(needs.clock, BUSY_COMPARE_FANOUT, ANTI_ENTROPY_MS)
    this.#mayTell = createTurns(needs.clock, DIGESTS_TOLD, ANTI_ENTROPY_MS)
    this.#asked = createAsked(needs.clock)
    this.#passingOn = createPassingOn({ clock: needs.clock, random: needs.random, links: () => this.#all })
  }

  start(): void {
    const { network } = this.#needs
    this.#running = true
    network.handle(MESH_PROTOCOL, 'connect', (channel) => {
      // One channel a pair: whoever has the smaller id opens it.
      if (this.#running && channel.remote < network.id) this.#adopt(channel)
      else void channel.close()
    })
    this.#nextRound()
  }

  /** Says goodbye, then ends all channels. */
  async stop(): Promise<void> {
    const { clock } = this.#needs
    this.#running = false
    this.#cancelRound?.()
    this.#passingOn.stop()
    this.#ending.abort(new Error('the mesh is ending'))
    const links = [...this.#links.values()]
    this.#links.clear()
    this.#all = []
    const farewells = links.map(async (link) => {
      await link.goodbye()
      await link.close()
    })
    const inTime = new AbortController()
    const late = clock.sleep(FAREWELL_MS, inTime.signal).catch(() => undefined)
    await Promise.race([Promise.allSettled(farewells), late])
    inTime.abort()
    for (const link of links) link.abort('the mesh is ending')
  }

  /** A record of ours changed. */
  push(id: string): void {
    const told = this.#all.length <= FULL_MESH ? this.#all : drawn(this.#all, LARGE_PUSH_FANOUT, this.#needs.random)
    for (const link of told) link.push(id)
  }

  /**
   * Resolves when all peers that are connected have taken what was pushed to them before, and this one what they had to say
   * then; or after so many milliseconds. In a large mesh, where not all are told, it is known of none: at once.
   */
  async settled(milliseconds: number, signal?: AbortSignal): Promise<void> {
    const { clock, connected } = this.#needs
    const isOpening = (): boolean => [...connected()].some((peer) => !this.#links.has(peer))
    const end = clock.now() + Math.min(milliseconds, OPENING_MS)
    while (this.#running && isOpening() && clock.now() < end) await clock.sleep(REOPEN_FIRST_MS, signal)
    if (this.#all.length > FULL_MESH) return
    const answered = new AbortController()
    const enough = AbortSignal.any([answered.signal, ...(signal === undefined ? [] : [signal])])
    const late = clock.sleep(milliseconds, enough).catch(() => undefined)
    await Promise.race([Promise.all(this.#all.map((link) => link.settled())), late])
    answered.abort()
    signal?.throwIfAborted()
  }

  /** The peer is connected: a channel to it is opened, if that is ours to do. */
  meet(peer: string): void {
    this.#patience.delete(peer)
    this.#openTo(peer)
  }

  /** The peer is gone. */
  leave(peer: string): void {
    this.#patience.delete(peer)
  }

  #openTo(peer: string): void {
    const isOurs = this.#needs.network.id < peer
    if (isOurs && !this.#opening.has(peer) && !this.#links.has(peer)) void this.#open(peer)
  }

  async #open(peer: string): Promise<void> {
    const { clock, isConnected, network } = this.#needs
    const { signal } = this.#ending
    this.#opening.add(peer)
    while (!signal.aborted && isConnected(peer) && !this.#links.has(peer)) {
      const wait = this.#patience.get(peer) ?? 0
      this.#patience.set(peer, Math.min(REOPEN_LAST_MS, Math.max(REOPEN_FIRST_MS, 2 * wait)))
      try {
        if (wait > 0) await clock.sleep(wait, signal)
        const channel = await network.open(peer, MESH_PROTOCOL, signal)
        if (this.#running) this.#adopt(channel)
        else channel.abort(new Error('the mesh is ending'))
      } catch {
        // Not there yet, or gone: tried again while the network says that it is connected.
      }
    }
    this.#opening.delete(peer)
  }

  #adopt(channel: Channel): void {
    const { network, clock, book, isConnected, farewell } = this.#needs
    const peer = channel.remote
    void this.#links.get(peer)?.close()
    const ageOf = (author: string): number =>
      author === network.id || isConnected(author) ? 0 : Math.max(0, book.silence(author))
    const received = this.#received.bind(this)
    const mayTell = this.#mayTell
    const link = new GossipLink({ channel, clock, book, ageOf, received, farewell, mayTell, ...this.#asked })
    const since = clock.now()
    this.#links.set(peer, link)
    this.#all = [...this.#links.values()]
    // Who meets many at once knows after the first few what all of them know; the rounds find what is lacking.
    const mayCompare = book.size > FULL_MESH ? this.#mayCompareInLarge : this.#mayCompare
    if (mayCompare()) link.compare()
    void link.closed.then(() => {
      if (clock.now() - since > REOPEN_LAST_MS) this.#patience.delete(peer)
      if (this.#links.get(peer) !== link) return
      this.#links.delete(peer)
      this.#all = [...this.#links.values()]
      if (this.#running && isConnected(peer)) this.#openTo(peer)
    })
  }

  /** @returns false: it is forged, and the link is ended */
  #received(bytes: Uint8Array, age: number, from: GossipLink): boolean {
    const { verdict, why, record } = this.#needs.offer(bytes, age, from.peer)
    if (verdict === 'forged') from.abort(why)
    if (verdict === 'limited') this.#askAgain(from)
    if (verdict === 'accepted' && record !== undefined) this.#spread(record, from)
    return verdict !== 'forged'
  }

  #spread(record: MeshRecord, from: GossipLink): void {
    this.#news++
    const id = recordId(record)
    if (this.#needs.book.size > FULL_MESH) return this.#passingOn.add(id, record.author, from.peer)
    // Who has it from its author hears it as all do whom the author knows: a few are told, in case it does not know them.
    const fanout = from.peer === record.author ? DIRECT_FANOUT : FORWARD_FANOUT
    // Two more, since it may fall on those two.
    const others = drawn(this.#all, fanout + 2, this.#needs.random).filter(
      ({ peer }) => peer !== from.peer && peer !== record.author,
    )
    for (const link of others.slice(0, fanout)) link.push(id)
  }

  /** The last of a burst must not wait for the next round. */
  #askAgain(link: GossipLink): void {
    const { peer } = link
    if (this.#asking.has(peer)) return
    this.#asking.add(peer)
    this.#needs.clock.after(ASK_AGAIN_MS, () => {
      this.#asking.delete(peer)
      if (this.#links.get(peer) === link) link.askAgain()
    })
  }

  #nextRound(): void {
    const { clock, random } = this.#needs
    const [draw = 0] = random.bytes(1)
    // Plus or minus a quarter, so that a hundred peers that started together do not speak together.
    this.#cancelRound = clock.after(ANTI_ENTROPY_MS * (0.75 + (0.5 * draw) / 255), () => {
      this.#needs.round()
      // With some at a time: what one was not asked this time another has, and a mesh of 1,000 costs no more than one of 8.
      // While much is on its way all differ from all, and what is lacking comes by itself.
      const isBusy = this.#needs.book.size > FULL_MESH && this.#news > FULL_MESH
      this.#news = 0
      for (const link of drawn(this.#all, isBusy ? BUSY_COMPARE_FANOUT : COMPARE_FANOUT, random)) link.compare()
      this.#nextRound()
    })
  }
}

type Asked = Pick<GossipLinkNeeds, 'mayAsk' | 'asked'>

/** A bucket may be asked for that was not within ASKED_MS. */
function createAsked(clock: Clock): Asked {
  const last = new Float64Array(SUM_BUCKETS).fill(-Infinity)
  return {
    mayAsk: (bucket) => clock.now() - last[bucket]! >= ASKED_MS,
    asked: (buckets) => {
      for (const bucket of buckets) last[bucket] = clock.now()
    },
  }
}
