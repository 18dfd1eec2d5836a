/** Pairs of peers: what is told of them, what the planner is given, whom it believes, and what a person is advised. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { Mesh, OwnProfile } from '../../src/mesh/index.ts'
import type { ConnectedPeer } from '../../src/net/index.ts'
import { LinkBook } from '../../src/peer/link-book.ts'
import { verdictOf } from '../../src/peer/link-check.ts'
import type { NetCheck } from '../../src/peer/link-types.ts'
import { PlanMeasures } from '../../src/peer/profile-plan.ts'
import type { PlanMeasuresNeeds } from '../../src/peer/profile-plan.ts'
import { watchAnswer } from '../../src/peer/answer-watch.ts'
import { SeenPeers } from '../../src/peer/profile-seen.ts'
import type { GenerateEvent, GenerateStats } from '../../src/pipeline/index.ts'
import { fakeManifest } from '../api/fake-peer.ts'
import { DIGEST, profile } from '../mesh/support/make-mesh.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const HOUR = 3_600_000

let clock: VirtualClock
beforeEach(() => {
  clock = virtualClock()
})

function connected(id: string, changes: Partial<ConnectedPeer> = {}): ConnectedPeer {
  return { id, addresses: [], rtt: 4, version: '1', name: id, direction: 'inbound', protocol: 1, ...changes }
}

describe('the book of links', () => {
  it('has the best of the transfers of ten minutes, a probe in place of it, and nothing of an hour ago', async () => {
    const book = new LinkBook(clock)
    const down = (): unknown => book.status(connected('a')).bandwidth
    expect(down()).toBeNull()
    for (const rate of [5e6, 9e6, 2e6, 0, Number.NaN]) book.delivered('a', rate)
    expect(down()).toEqual({ down: 9e6, up: null, from: 'transfer', age_s: 0 })
    await clock.advance(HOUR / 6)
    book.delivered('a', 2e6)
    expect(down()).toMatchObject({ down: 2e6 })
    book.probed('a', { down: 8e6, up: 3e6, bytes: 1, ms: 1, why: null })
    book.probed('a', { down: null, up: null, bytes: 0, ms: 1, why: 'later' })
    await clock.advance(5_000)
    expect(down()).toEqual({ down: 8e6, up: 3e6, from: 'probe', age_s: 5 })
    await clock.advance(HOUR)
    expect(down()).toBeNull()
  })

  it('forgets all of it when the addresses of this peer are others', () => {
    const book = new LinkBook(clock)
    book.delivered('a', 1e6)
    book.forget()
    expect(book.status(connected('a', { relayed: true }))).toEqual({
      path: 'relayed',
      jitter_ms: null,
      loss: null,
      clock_ahead_ms: null,
      bandwidth: null,
    })
  })

  it('tells of so many pairs at most: those that were used, then the nearest, none without a round trip', () => {
    const book = new LinkBook(clock)
    book.delivered('far', 123_456_789)
    const peers = Array.from({ length: 100 }, (_, index) => connected(`p${index}`, { rtt: index + 1 }))
    const links = book.told([...peers, connected('far', { rtt: 400 }), connected('new', { rtt: null })])
    expect(links).toHaveLength(16)
    expect(links[0]).toEqual({
      peer: 'far',
      rtt_ms: 400,
      jitter_ms: null,
      loss: null,
      down: 123_000_000,
      up: null,
      relayed: false,
    })
    expect(links.slice(1).map(({ peer }) => peer)).toEqual(peers.slice(0, 15).map(({ id }) => id))
  })
})

describe('a peer that claims to be fast', () => {
  const OWN = { block: 1, head: 3 }
  let claims: Map<string, number>
  let seen: SeenPeers
  /** As heart-beats say. */
  let roundTrip: number

  beforeEach(() => {
    roundTrip = 2
    claims = new Map([
      ['liar', 0.1],
      ['honest', 1],
    ])
    seen = new SeenPeers({
      self: 'self',
      clock,
      own: () => OWN,
      claimed: (peer) => claims.get(peer) ?? null,
      rtt: () => roundTrip,
    })
  })

  /** An answer as these would give it: the truth is 2 ms a block for the liar, 1 ms for the others. */
  function answer(...hops: readonly (readonly [peer: string, from: number, to: number])[]): void {
    const truth = hops.reduce((sum, [peer, from, to]) => sum + (to - from) * (peer === 'liar' ? 2 : 1), 0)
    const route = [...hops, ['self', 21, 22] as const].map(([peer, from, to]) => ({ peer, from, to }))
    const transit = hops.filter(([peer]) => peer !== 'self').length + 1
    seen.answered({ digest: DIGEST, route, first: 1, last: 21, stepMs: truth + OWN.head + 1.5 * transit })
  }
  const judged = (peer: string): number | null => seen.judge(peer, DIGEST, claims.get(peer) ?? null)

  it('is believed until it was seen twice, and then planned with what was seen', () => {
    expect(judged('liar')).toBe(0.1)
    answer(['liar', 1, 21])
    expect(judged('liar')).toBe(0.1)
    for (let time = 0; time < 8; time++) answer(['liar', 1, 21])
    expect(judged('liar')).toBeCloseTo(2, 1)
    // One that nobody has tried is as it says, and another model is another matter.
    expect(judged('honest')).toBe(1)
    expect(seen.judge('liar', 'other', 0.1)).toBe(0.1)
  })

  it('is told from its honest neighbours by other routes', () => {
    for (let time = 0; time < 20; time++) {
      answer(['liar', 1, 11], ['honest', 11, 21])
      answer(['honest', 1, 16], ['liar', 16, 21])
      answer(['self', 1, 11], ['honest', 11, 21])
    }
    // As closely as the ways are known.
    expect(judged('liar')).toBeGreaterThan(1.8)
    expect(judged('honest')).toBe(1)
  })

  it('is measured without any claim, and what was seen fades after an hour', async () => {
    claims.clear()
    answer(['liar', 1, 21])
    answer(['liar', 1, 21])
    expect(judged('liar')).toBeCloseTo(2, 6)
    await clock.advance(HOUR)
    expect(judged('liar')).toBeNull()
  })

  it('is not blamed for what its ways may be off by, which is most of a token where they are long', () => {
    const route = [
      { peer: 'honest', from: 1, to: 4 },
      { peer: 'self', from: 4, to: 5 },
    ] as const
    const over = (ms: number): void => {
      for (let time = 0; time < 4; time++)
        seen.answered({ digest: DIGEST, route, first: 1, last: 4, stepMs: 3 + OWN.head + 2 * 0.5 + ms })
    }
    roundTrip = 40
    over(47)
    over(33)
    expect(judged('honest')).toBe(1)
    over(70)
    expect(judged('honest')).toBeGreaterThan(2)
  })

  it('is not blamed for a line that has changed: what was put down to it goes when heart-beats tell of the line', () => {
    const ways = (ms: number): void => {
      const route = [
        { peer: 'honest', from: 1, to: 21 },
        { peer: 'self', from: 21, to: 22 },
      ] as const
      for (let time = 0; time < 4; time++)
        seen.answered({ digest: DIGEST, route, first: 1, last: 21, stepMs: 20 + OWN.head + 2 * 0.5 + ms })
    }
    ways(40)
    expect(judged('honest')).toBeGreaterThan(2)
    // Not by a breath of the line, which would excuse anybody.
    roundTrip = 2.7
    expect(judged('honest')).toBeGreaterThan(2)
    roundTrip = 40
    expect(judged('honest')).toBe(1)
    expect(seen.told()).toEqual([])
    ways(40)
    expect(judged('honest')).toBe(1)
    // The line is as it was, and answers say so before its beats do: nobody is faster than it says for that.
    ways(2)
    expect(judged('honest')).toBeLessThan(0.5)
    roundTrip = 2
    expect(judged('honest')).toBe(1)
  })

  it('is not believed again because its ways are others: they excuse what they take more, and no more', () => {
    for (let time = 0; time < 8; time++) answer(['liar', 1, 21])
    const before = judged('liar')
    expect(before).toBeCloseTo(2, 1)
    // A busy machine: round trips of 2 ms are 3, 9 and 2 again.
    for (const [trip, least] of [
      [3, 1.8],
      [9, 1.4],
      [2, 1.9],
    ] as const) {
      roundTrip = trip
      expect(judged('liar')).toBeGreaterThan(least)
      expect(seen.told()).toMatchObject([{ peer: 'liar' }])
    }
    expect(judged('liar')).toBe(before)
    // All that it took more is what the way takes now: nobody knows which it was.
    roundTrip = 2 + 20 * 2
    expect(judged('liar')).toBe(0.1)
  })

  it('is not judged by an answer of which our own part is not known', () => {
    const blind = new SeenPeers({ self: 'self', clock, own: () => null, claimed: () => 1, rtt: () => 2 })
    const route = [
      { peer: 'liar', from: 1, to: 21 },
      { peer: 'self', from: 21, to: 22 },
    ]
    for (let time = 0; time < 3; time++) blind.answered({ digest: DIGEST, route, first: 1, last: 21, stepMs: 500 })
    expect(blind.judge('liar', DIGEST, 1)).toBe(1)
  })
})

describe('an answer that is watched', () => {
  const stats = (changes: Partial<GenerateStats>): GenerateStats => ({
    prefill_tokens: 3,
    cached_tokens: 0,
    decode_tokens: 20,
    prefill_ms: 1,
    decode_ms: 2,
    time_to_first_token_ms: 1,
    ms_per_token_p50: 7,
    tokens_per_second: 100,
    hop_ms_p50: 0.1,
    counters: { failovers: 0 },
    ...changes,
  })
  const route = [{ peer: 'a', pid: 1, from: 0, to: 4 }]

  async function told(changes: Partial<GenerateStats> = {}): Promise<number[]> {
    const events: GenerateEvent[] = [
      { type: 'start', prompt_ids: [1], route },
      { type: 'end', finish: 'stop', text: '', ids: [], stats: stats(changes) },
    ]
    const steps: number[] = []
    const through = watchAnswer(
      (async function* all() {
        yield* events
      })(),
      (hops, ms) => {
        expect(hops).toEqual(route)
        steps.push(ms)
      },
    )
    expect(await Array.fromAsync(through)).toEqual(events)
    return steps
  }

  it('is told with its route and the time of a step, and not where something else was in it', async () => {
    expect(await told()).toEqual([7])
    expect(await told({ decode_tokens: 7 })).toEqual([])
    for (const name of ['failovers', 'draft_tokens', 'batched_rows'])
      expect(await told({ counters: { [name]: 1 } })).toEqual([])
  })
})

describe('what the planner is given', () => {
  const told = (changes: Partial<OwnProfile>): OwnProfile & { addresses: string[] } => ({
    ...profile('x', changes),
    addresses: [],
  })

  const DECODER = {
    kind: 'decoder',
    weights: 'q4',
    tensors: [],
    bytes: 1e6,
    memory: 1e6,
    flops: 1e6,
    kv_bytes: 1,
  } as const
  const MODEL = { ...fakeManifest(), digest: DIGEST, blocks: Array.from({ length: 8 }, () => DECODER) }

  function measures(
    profiles: ReadonlyMap<string, OwnProfile & { addresses: string[] }>,
    manifest: PlanMeasuresNeeds['manifest'] = () => undefined,
  ): PlanMeasures {
    const links = new LinkBook(clock)
    links.probed('a', { down: 5e7, up: 2e7, bytes: 1, ms: 1, why: null })
    const needs = {
      self: 'self',
      clock,
      mesh: { profiles: () => profiles } as unknown as Mesh,
      network: { connected: () => [connected('a', { jitter: 0.5, loss: 1 }), connected('b', { relayed: true })] },
      profiling: { links, measures: { own: () => null } },
      threads: 2,
      manifest,
      profile: () => profile('self').hardware,
    }
    return new PlanMeasures(needs as unknown as PlanMeasuresNeeds)
  }

  it('is each way as it was measured here, and between others as they tell', () => {
    const pair = { rtt_ms: 9, jitter_ms: null, loss: null, down: 1e6, up: null, relayed: false }
    const links = measures(
      new Map([
        [
          'a',
          told({
            links: [
              { peer: 'b', ...pair },
              { peer: 'self', ...pair },
              { peer: 'gone', ...pair },
            ],
          }),
        ],
        [
          'b',
          told({
            links: [
              { peer: 'a', ...pair, rtt_ms: null },
              { peer: 'self', ...pair },
            ],
          }),
        ],
        ['c', told({ links: [{ peer: 'a', ...pair }] })],
      ]),
    ).links()
    const quiet = { jitter: 0, loss: 0, relayed: false }
    expect(links).toEqual([
      { from: 'self', to: 'a', rtt: 4, bandwidth: 2e7, ...quiet, jitter: 0.5, loss: 0.99 },
      { from: 'a', to: 'self', rtt: 4, bandwidth: 5e7, ...quiet, jitter: 0.5, loss: 0.99 },
      // Not probed from here, but b has fetched from this peer.
      { from: 'self', to: 'b', rtt: 4, bandwidth: 1e6, ...quiet, relayed: true },
      { from: 'b', to: 'self', rtt: 4, bandwidth: 1e6, ...quiet, relayed: true },
      { from: 'a', to: 'b', rtt: 9, bandwidth: 1e6, ...quiet },
      { from: 'b', to: 'a', rtt: 9, bandwidth: 1e6, ...quiet },
    ])
  })

  it('is what answers took where a peer tells of something else, with what it tells, so that a plan can say so', () => {
    const boast = { digest: DIGEST, block_ms: 0.001, prefill_ms: 0.001, predicted_block_ms: 1, error: 0.1 }
    const fast = { ...profile('a').hardware, models: [{ ...boast, predicted_prefill_ms: 1 }] }
    const all = measures(new Map([['a', told({ hardware: fast })]]), () => MODEL)
    expect(all.speeds(DIGEST)('a')).toMatchObject({ blockMs: 0.001 })
    expect(all.speeds(DIGEST)('a')).not.toHaveProperty('toldBlockMs')
    const route = [{ peer: 'a', pid: 1, from: 0, to: 8 }]
    for (let time = 0; time < 9; time++) all.answered(MODEL, route, 500)
    const { blockMs, toldBlockMs } = all.speeds(DIGEST)('a')
    expect(blockMs).toBeGreaterThan(1)
    expect(toldBlockMs).toBe(0.001)
  })

  it('is nothing of blocks for a model that is not here, and the memory of whoever tells it', () => {
    const hardware = { ...profile('a').hardware, memory_bandwidth: 3e9 }
    const speeds = measures(
      new Map([
        ['a', told({ hardware })],
        ['b', told({})],
      ]),
    ).speeds(DIGEST)
    expect([speeds('a'), speeds('b'), speeds('unknown')]).toEqual([{ bandwidth: 3e9 }, {}, {}])
  })
})

describe('the verdict on a network', () => {
  const pair = {
    peer: 'b',
    name: 'mint-hare',
    rtt_ms: 0.4,
    path: 'direct',
    jitter_ms: 0.1,
    loss: 0,
    bandwidth: { down: 1e8, up: 1e8, from: 'probe', age_s: 0 },
    probe: null,
  } as const
  const face = { name: 'eth0', address: '192.0.2.1', used: true, why: 'network', heard: 1 }
  const facts: Omit<NetCheck, 'verdict' | 'schema'> = {
    peer: 'a',
    network: 'home',
    lan: 'open',
    interfaces: [face],
    addresses: [],
    reachability: 'public',
    circuits: [],
    relaying: { reservations: 0, circuits: 0 },
    pairs: [pair],
    seen_not_joined: 0,
  }

  it('is good where nothing is in the way', () => {
    expect(verdictOf(facts)).toEqual({ state: 'good', text: expect.stringContaining('1 peer') as string, advice: [] })
  })

  it.each<[string, Partial<typeof facts>, string, RegExp]>([
    ['nobody is there', { pairs: [] }, 'alone', /start weft up on another machine/],
    ['nobody is looked for', { pairs: [], lan: 'off' }, 'alone', /--bootstrap/],
    ['no interface is used', { interfaces: [{ ...face, used: false }] }, 'warning', /--listen/],
    ['multicast does not work', { interfaces: [{ ...face, heard: null }] }, 'warning', /multicast DNS/],
    ['others cannot dial', { reachability: 'private' }, 'warning', /open its port/],
    ['somebody was refused', { seen_not_joined: 2 }, 'warning', /weft status/],
    ['a relay is between', { pairs: [{ ...pair, path: 'relayed' }] }, 'warning', /mint-hare: .*relay/],
    ['beats are lost', { pairs: [{ ...pair, loss: 0.03 }] }, 'warning', /mint-hare: heart-beats/],
    ['it is far', { pairs: [{ ...pair, rtt_ms: 80 }] }, 'warning', /mint-hare: far/],
    ['the line is slow', { pairs: [{ ...pair, bandwidth: { ...pair.bandwidth, up: 1e5 } }] }, 'warning', /slow line/],
  ])('says what to do when %s', (_what, change, state, advice) => {
    const verdict = verdictOf({ ...facts, ...change })
    expect(verdict.state).toBe(state)
    expect(verdict.advice).toHaveLength(1)
    expect(verdict.advice[0]).toMatch(advice)
  })

  it('does not take beats of a busy start for distance once echoes were measured', () => {
    const probe = { rtt_ms: 0.4, down: 1e8, up: 1e8, bytes: 1, ms: 1, why: null }
    expect(verdictOf({ ...facts, pairs: [{ ...pair, rtt_ms: 120, probe }] }).state).toBe('good')
  })
})
