/**
 * How fast other peers are, as this one sees it. A peer may claim any speed, and its frames say what it computed by its own
 * word too: what cannot be talked away is the time that an answer takes. Each step of a route is divided over its peers
 * by least squares, a step at a time (Kaczmarz): several routes over the same peers tell them apart.
 */
import type { SeenSpeed } from '../mesh/index.ts'
import type { RouteHop } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'

/** Answers before this counts against what a peer says of itself. */
const LEAST_ANSWERS = 2
/** What was seen longer ago is not held against anybody. */
const KEEP_MS = 3_600_000
/** A newer answer counts for so much of the difference. */
const STEP = 0.5
/** A peer knows its own blocks better than we can see them, as long as the two agree so far. */
const AGREES = 0.25
const MAX_ENTRIES = 4_096
/** In the middle of an answer only what is so many times slower or faster counts, and only when it is so twice in a row. */
const STRIKING = 2
const IN_A_ROW = 2
/** Ways are known to so much: what an answer takes more or less within it is nobody's. */
const WAYS_OFF = 0.25
/** Beside the wire, from stage host to stage host. */
const HOP_MS = 0.5

export interface SeenAnswer {
  readonly digest: string
  readonly route: readonly Pick<RouteHop, 'peer' | 'from' | 'to'>[]
  /** Decoder blocks are [first, last). */
  readonly first: number
  readonly last: number
  /** Milliseconds of one step, from token to token. */
  readonly stepMs: number
  /**
   * `whole`: an answer. `part`: a few steps of one that goes on. `probe`: one that was asked to measure a peer anew. The
   * latter two say something only of a route over one other peer. @default 'whole'
   */
  readonly manner?: 'whole' | 'part' | 'probe'
}

export interface SeenNeeds {
  readonly self: string
  readonly clock: Clock
  /** Milliseconds of one block, and of the head, here; null while not measured. */
  own(digest: string): { readonly block: number | null; readonly head: number | null } | null
  /** Milliseconds of one block that a peer claims, or that is predicted of it; null where nothing is known. */
  claimed(peer: string, digest: string): number | null
  /** Milliseconds of the round trip between two peers. */
  rtt(one: string, other: string): number
  /** What is held against somebody has changed at once. */
  changed?(): void
}

interface Entry {
  readonly ms: number
  readonly answers: number
  readonly at: number
  /** That it had on this route. */
  readonly blocks: number
  /** Over which it was seen, and milliseconds of the ways between them that were not put down to anybody. */
  readonly route: readonly string[]
  readonly transit: number
}

type Way = Pick<Entry, 'route' | 'transit'>

export class SeenPeers {
  readonly #needs: SeenNeeds
  readonly #entries = new Map<string, Entry>()
  /** Striking parts of answers in a row, slower ones above zero and faster ones below. */
  readonly #striking = new Map<string, number>()

  constructor(needs: SeenNeeds) {
    this.#needs = needs
  }

  answered({ digest, route, first, last, stepMs, manner = 'whole' }: SeenAnswer): void {
    const { self } = this.#needs
    const shares = new Map<string, number>()
    for (const { peer, from, to } of route) {
      const blocks = Math.min(to, last) - Math.max(from, first)
      if (blocks > 0) shares.set(peer, (shares.get(peer) ?? 0) + blocks)
    }
    const here = shares.get(self) ?? 0
    shares.delete(self)
    if (shares.size === 0) return
    const own = this.#needs.own(digest)
    const headHere = route.some(({ peer, to }) => peer === self && to > last)
    // Without figures of our own part the others would be blamed for it.
    const block = here > 0 ? (own?.block ?? null) : 0
    const head = headHere ? (own?.head ?? null) : 0
    if (block === null || head === null) return
    const mine = here * block + head
    const stops = route.map(({ peer }) => peer)
    const way = { route: stops, transit: this.#transit(stops) }
    const rest = stepMs - mine - way.transit
    if (manner === 'whole') return this.#divide(digest, shares, rest, way)
    const [only] = shares
    if (only !== undefined && shares.size === 1) this.#alone(only, digest, rest, manner, way)
  }

  /** One other peer did all that was not done here. */
  #alone(
    [peer, blocks]: readonly [string, number],
    digest: string,
    rest: number,
    manner: 'part' | 'probe',
    way: Way,
  ): void {
    const key = `${peer} ${digest}`
    const known = this.#estimate(peer, digest)
    const expected = (known ?? 0) * blocks
    const ms = (known === null ? rest : expected + beyond(rest - expected, way)) / blocks
    const sign = known === null ? 0 : Number(ms > STRIKING * known) - Number(ms < known / STRIKING)
    const before = this.#striking.get(key) ?? 0
    const striking = sign === 0 || before * sign < 0 ? sign : before + sign
    this.#striking.set(key, striking)
    if (manner === 'part' && Math.abs(striking) < IN_A_ROW) return
    this.#striking.delete(key)
    this.#set(key, { ms: Math.max(0, ms), answers: LEAST_ANSWERS, at: this.#needs.clock.now(), blocks, ...way })
    this.#needs.changed?.()
  }

  /** @param shares blocks of each other peer */
  #divide(digest: string, shares: ReadonlyMap<string, number>, rest: number, way: Way): void {
    const { clock } = this.#needs
    const before = [...shares].map(([peer, blocks]) => ({ peer, blocks, ms: this.#estimate(peer, digest) }))
    const known = before.filter(({ ms }) => ms !== null)
    const guess = known.length === 0 ? 0 : Math.max(...known.map(({ ms }) => ms!))
    const all = rest - before.reduce((sum, { blocks, ms }) => sum + blocks * (ms ?? guess), 0)
    const off = known.length === 0 ? all : beyond(all, way)
    const norm = before.reduce((sum, { blocks }) => sum + blocks * blocks, 0)
    for (const { peer, blocks, ms } of before) {
      const key = `${peer} ${digest}`
      const answers = (this.#fresh(key)?.answers ?? 0) + 1
      // The first answer is all there is to go by, where nothing was claimed.
      const step = ms === null ? 1 : STEP
      const better = Math.max(0, (ms ?? guess) + (step * off * blocks) / norm)
      this.#set(key, { ms: better, answers, at: clock.now(), blocks, ...way })
    }
  }

  /** What a peer should be planned with: its own word while that agrees with what was seen. */
  judge(peer: string, digest: string, claimed: number | null): number | null {
    const seen = this.#fresh(`${peer} ${digest}`)
    if (seen === undefined || seen.answers < LEAST_ANSWERS) return claimed
    const ms = this.#besides(seen, claimed)
    return claimed !== null && Math.abs(ms - claimed) <= AGREES * claimed ? claimed : ms
  }

  /** What differs from what the peer says of itself, the newest last. */
  told(): SeenSpeed[] {
    return [...this.#entries.keys()].flatMap((key) => {
      const [peer = '', digest = ''] = key.split(' ')
      const claimed = this.#needs.claimed(peer, digest)
      const judged = this.judge(peer, digest, claimed)
      return judged === null || judged === claimed ? [] : [{ peer, digest, block_ms: Number(judged.toPrecision(3)) }]
    })
  }

  #estimate(peer: string, digest: string): number | null {
    const [seen, claimed] = [this.#fresh(`${peer} ${digest}`), this.#needs.claimed(peer, digest)]
    return seen === undefined ? claimed : this.#besides(seen, claimed)
  }

  #fresh(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    return entry !== undefined && this.#needs.clock.now() - entry.at < KEEP_MS ? entry : undefined
  }

  /**
   * What was seen, nearer to what the peer says by as much as its ways take more or less by now, and by what they may be off by:
   * answers come sooner than a line is known to have changed, and the peer was blamed for it until then. What is beyond
   * that is the peer's: round trips change all the time where machines are busy, and a liar would be believed again for it.
   */
  #besides({ ms, blocks, route, transit }: Entry, claimed: number | null): number {
    if (claimed === null) return ms
    const now = this.#transit(route)
    const more = now - transit
    const excused = more + Math.sign(more) * Math.min(Math.abs(more), WAYS_OFF * now)
    const other = Math.max(0, ms - excused / blocks)
    return Math.min(Math.max(claimed, Math.min(ms, other)), Math.max(ms, other))
  }

  #set(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    const [oldest] = this.#entries.keys()
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest)
  }

  /** Once round the ring: half a round trip from each to the next, and from the last to the origin. */
  #transit(peers: readonly string[]): number {
    const { self } = this.#needs
    const stops = [self, ...peers, self]
    return stops
      .slice(1)
      .map((peer, index) => (peer === stops[index] ? 0 : HOP_MS + this.#needs.rtt(stops[index]!, peer) / 2))
      .reduce((sum, ms) => sum + ms, 0)
  }
}

/** A difference that may be of the ways is none. */
function beyond(off: number, { transit }: Way): number {
  return Math.abs(off) > WAYS_OFF * transit ? off : 0
}
