/** Attackers under secure sums: each bucket of sites is a sum of its own, and their means are compared. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  checkFedPlan,
  clipToNorm,
  decodeState,
  encodeState,
  FIRST_STATE,
  JobView,
  stateHash,
} from '../../src/federated/index.ts'
import type { FedPlan, FedState } from '../../src/federated/index.ts'
import { makeJoin, makeOffer, makeStart } from '../../src/federated/fleet/documents.ts'
import { decodeSum } from '../../src/federated/rounds/layout.ts'
import { packedBytes, unpack } from '../../src/federated/secagg/packing.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { call } from '../cli/support.ts'
import { isWhole } from '../whole.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

function rows(sites: number): string[][] {
  return Array.from({ length: sites }, (_, seed) => hospitalRows(seed + 1, 40))
}

function robust(group: number, changes: object = {}): object {
  return plan({
    model: { kind: 'linear' },
    rounds: 1,
    strategy: { name: 'bucketed', group, clip: 2, rule: 'median' },
    robust: { attackers: 1 },
    minimum: { sites: 3, records: 64 },
    ...changes,
  })
}

interface Told {
  readonly from: FedState
  readonly buckets: readonly { readonly index: number; readonly members: readonly string[] }[]
  readonly payload: Uint8Array
}

/** A round to its end, and what the aggregators told: one entry for each sum of training. */
async function run(
  init: Omit<FleetInit, 'folder'>,
  act: (fleet: Fleet, told: readonly Told[]) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder()
  const told: Told[] = []
  const fleet = await createFleet({
    times: PATIENT,
    folder,
    ...init,
    onMessage: (from, to, kind, body, payload) => {
      init.onMessage?.(from, to, kind, body, payload)
      const { groups: buckets } = body as { groups?: Told['buckets'] }
      if (kind !== 'result' || buckets === undefined || from === to) return
      const state = decodeState(encodeState(from.standing.current.state))
      if (told.every((one) => one.from.done !== state.done)) told.push({ from: state, buckets, payload })
    },
  })
  try {
    await act(fleet, told)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The median of the means of the buckets, by hand. */
function medianOf({ job }: Fleet, { from, buckets, payload }: Told): Float32Array {
  const { bits, d } = job.header(0, from, stateHash(from), job.groups(from)[0]!)
  const size = packedBytes(d, bits)
  const means = buckets.map(({ members }, at) => {
    const words = unpack(payload.subarray(at * size, (at + 1) * size), bits, d)
    const { reals } = decodeSum(words, job.layout(from), { f: 16, c: 8 })
    return clipToNorm(
      reals.map((value) => value / members.length),
      2,
    ).values
  })
  return Float32Array.from(from.global, (value, index) => {
    const column = means.map((mean) => mean[index]!).sort((left, right) => left - right)
    const half = Math.floor(column.length / 2)
    return value + (column.length % 2 === 1 ? column[half]! : (column[half - 1]! + column[half]!) / 2)
  })
}

describe('a round of buckets', () => {
  test('is a secure sum for each, of members that follow from the state, and all make the same model of their means', async () => {
    await run({ plan: robust(3, { rounds: 2 }), rows: rows(9) }, async (fleet, told) => {
      await areOver(fleet.members)
      expect(told).toHaveLength(2)
      for (const one of told) {
        const groups = fleet.job.groups(one.from).map(({ members }) => members.map(({ peer }) => peer).sort())
        expect(one.buckets.map(({ members }) => [...members].sort())).toEqual(groups)
        expect(groups.map(({ length }) => length)).toEqual([3, 3, 3])
      }
      const [first, second] = told
      expect(medianOf(fleet, first!)).toEqual(second!.from.global)
      expect(medianOf(fleet, second!)).toEqual(fleet.members[0]!.standing.current.state.global)
    })
  })

  test('is of others at each step, whatever the state and the order of members', () => {
    const checked = checkFedPlan(robust(3), 'plan')
    const members = Array.from({ length: 9 }, (_, at) => ({
      peer: `peer-${at}`,
      key: new Uint8Array(32),
      site: `${at}`,
    }))
    const deal = (done: number, global: Float32Array, of = members): string[] => {
      const view = new JobView({ id: 'job', plan: checked, planHash: new Uint8Array(32), members: of })
      const groups = view.groups({ ...FIRST_STATE, pooled: { records: 1, columns: [] }, done, global })
      return groups.map((group) =>
        group.members
          .map(({ peer }) => peer)
          .sort()
          .join(),
      )
    }
    const deals = Array.from({ length: 8 }, (_, done) => deal(done, Float32Array.of(1)))
    expect(new Set(deals.map((one) => one.toSorted().join('|'))).size).toBe(8)
    // Whoever makes the state has no say in it.
    expect(deal(3, Float32Array.of(2))).toEqual(deals[3])
    expect(deal(3, Float32Array.of(1), members.toReversed())).toEqual(deals[3])
  })
})

describe('an aggregator that tells members what they did not sign', () => {
  interface ToldGroup {
    readonly index: number
    readonly members: readonly string[]
  }
  const swapped = ([a, b, ...others]: readonly ToldGroup[]): ToldGroup[] => [
    { ...a!, members: [b!.members[0]!, ...a!.members.slice(1)] },
    { ...b!, members: [a!.members[0]!, ...b!.members.slice(1)] },
    ...others,
  ]

  test.each([
    ['members in other buckets', swapped, 'is said to be of others than its members'],
    [
      'a bucket with a member less',
      ([a, ...b]: readonly ToldGroup[]) => [{ ...a!, members: a!.members.slice(1) }, ...b],
      'or of fewer than 3',
    ],
    [
      'buckets in another order',
      (all: readonly ToldGroup[]) => all.toReversed(),
      'is no bucket or cluster of the round, or twice',
    ],
    [
      'a bucket twice',
      ([a, ...b]: readonly ToldGroup[]) => [a!, a!, ...b.slice(1)],
      'is no bucket or cluster of the round, or twice',
    ],
  ] as const)(
    '%s: all refuse it, and another makes the round',
    async (_, change, why) => {
      let liar: string | undefined
      const rewrite: FleetInit['rewrite'] = (from, message) => {
        const { groups } = message.body as { groups?: readonly ToldGroup[] }
        if (message.kind !== 'result' || groups === undefined || (liar ??= from.identity.id) !== from.identity.id)
          return undefined
        return { ...message, body: { ...message.body, groups: change(groups) } }
      }
      await run({ plan: robust(3), rows: rows(9), rewrite }, async (fleet) => {
        await areOver(fleet.members)
        const refused = fleet.members.filter(({ log }) =>
          log.some(({ event, facts }) => event === 'aggregator.lost' && String(facts['why']).includes(why)),
        )
        expect(refused).toHaveLength(9)
      })
    },
    60_000,
  )
})

/** A step against the honest one: ten times as long, or as long as the plan lets it be. */
const ATTACKS = {
  'flips and stretches': (update: Float64Array) => update.map((value) => Math.max(-7.9, Math.min(7.9, -10 * value))),
  'flips within the bound': (update: Float64Array) => {
    const { norm } = clipToNorm(update, 2)
    return update.map((value) => (norm === 0 ? 0 : (-2 * value) / norm))
  },
} as const

/** Accuracy of the model on rows of an honest site that nobody trained on. @param attacker place of the site, or none */
async function accuracyOf(strategy: object, kind?: keyof typeof ATTACKS): Promise<number> {
  const changes = { rounds: 8, local: { steps: 3, batch: 'full', lr: 0.5 }, ...strategy }
  const siteOf: FleetInit['siteOf'] = (index, site) =>
    kind === undefined || index !== 4
      ? site
      : {
          records: site.records,
          begin: (state) => site.begin(state),
          async prepare(state, memory, round, signal) {
            const made = await site.prepare(state, memory, round, signal)
            if (state.pooled === null) return made
            return { ...made, contribution: { ...made.contribution, reals: ATTACKS[kind](made.contribution.reals) } }
          },
        }
  let accuracy = Number.NaN
  await run({ plan: robust(3, changes), rows: rows(9), siteOf }, async ({ members }) => {
    await areOver(members)
    const { global } = members[0]!.standing.current.state
    const found = await Promise.all(members.map(({ trainer }) => trainer.metrics(global, 'train')))
    accuracy = found.reduce((sum, metrics) => sum + (metrics?.accuracy ?? Number.NaN), 0) / found.length
  })
  return accuracy
}

const MEAN = { strategy: { name: 'fedavg', weights: 'uniform' }, robust: undefined }

describe('one attacker of nine sites', () => {
  const kinds = Object.keys(ATTACKS) as (keyof typeof ATTACKS)[]
  let clean: Promise<number> | undefined

  test.each(isWhole ? kinds : kinds.slice(1))(
    'that %s spoils the mean, and not the median of buckets',
    async (kind) => {
      const honest = await (clean ??= accuracyOf(MEAN))
      expect(honest).toBeGreaterThan(0.75)
      expect(await accuracyOf(MEAN, kind)).toBeLessThan(honest - 0.1)
      expect(await accuracyOf({}, kind)).toBeGreaterThan(honest - 0.05)
    },
    120_000,
  )
})

/** Ends the first that sends this message in a sum of training. */
function losing(kind: string): {
  readonly onMessage: NonNullable<FleetInit['onMessage']>
  readonly lost: () => Member
} {
  let lost: Member | undefined
  return {
    lost: () => lost!,
    onMessage(from, to, sent) {
      if (lost !== undefined || sent !== kind || from === to || from.standing.current.state.pooled === null) return
      lost = from
      from.isGone = true
      from.end()
    },
  }
}

describe('a site that is gone in the middle of a round', () => {
  test.each(isWhole ? ['shares', 'piece', 'consistency', 'reveal'] : ['piece', 'reveal'])(
    'before "%s" leaves its bucket of four a sum of the other three, or that of all where its vector was there',
    async (kind) => {
      const { lost, onMessage } = losing(kind)
      await run({ plan: robust(4), rows: rows(12), onMessage }, async (fleet, told) => {
        const others = (): Member[] => fleet.members.filter((member) => member !== lost())
        await Promise.race(fleet.members.map(({ over }) => over))
        await areOver(others())
        const sizes = told[0]!.buckets.map(({ members }) => members.length).sort((left, right) => left - right)
        expect(sizes).toEqual(kind === 'shares' || kind === 'piece' ? [3, 4, 4] : [4, 4, 4])
        expect(medianOf(fleet, told[0]!)).toEqual(others()[0]!.standing.current.state.global)
      })
    },
    60_000,
  )

  test('closes its bucket of three, of which no share leaves, and the others are enough', async () => {
    const { lost, onMessage } = losing('piece')
    const revealed = new Set<string>()
    const init: Omit<FleetInit, 'folder'> = {
      plan: robust(3),
      rows: rows(12),
      onMessage: (from, to, kind, body, payload) => {
        onMessage(from, to, kind, body, payload)
        if (kind === 'reveal' && from.standing.current.state.pooled !== null) revealed.add(from.identity.id)
      },
    }
    await run(init, async (fleet, told) => {
      const others = (): Member[] => fleet.members.filter((member) => member !== lost())
      await Promise.race(fleet.members.map(({ over }) => over))
      await areOver(others())
      expect(told[0]!.buckets.map(({ members }) => members.length)).toEqual([3, 3, 3])
      const { from } = told[0]!
      const closed = fleet.job.groupOf(lost().identity.id, from).members.map(({ peer }) => peer)
      expect(closed.filter((peer) => revealed.has(peer))).toEqual([])
      expect(revealed.size).toBe(9)
      expect(fleet.members.some(({ log }) => log.some(({ event }) => event === 'sum.closed'))).toBe(true)
    })
  }, 60_000)

  test('where fewer buckets are left than the plan takes, nothing is told, and it is waited for', async () => {
    const { lost, onMessage } = losing('piece')
    await run({ plan: robust(3, { deadline: '2s' }), rows: rows(9), onMessage }, async (fleet, told) => {
      const isAborted = (): boolean =>
        fleet.members.some(({ log }) => log.some(({ facts }) => String(facts['why']).includes('2 sums with 6')))
      while (!isAborted()) await sleep(20)
      expect(told).toEqual([])
      await fleet.start(fleet.members.indexOf(lost()))
      await areOver(fleet.members)
      expect(told[0]!.buckets.map(({ members }) => members.length)).toEqual([3, 3, 3])
    })
  }, 60_000)
})

describe('an aggregator that is gone in the middle of a round', () => {
  test.each(isWhole ? ['survivors', 'ballots', 'result'] : ['ballots'])(
    'before "%s": the next one makes the same sums, once whoever was in one is there again',
    async (kind) => {
      const { lost, onMessage } = losing(kind)
      await run({ plan: robust(4, { deadline: '3s' }), rows: rows(12), onMessage }, async (fleet) => {
        await Promise.race(fleet.members.map(({ over }) => over))
        const others = fleet.members.filter((member) => member !== lost())
        const isWaitedFor = (): boolean =>
          others.some(({ coordinator: { waiting } }) => waiting?.why.includes('their sum was signed') === true)
        const isOver = (): boolean => others.every(({ loop }) => loop.stage === 'over')
        while (!isWaitedFor() && !isOver()) await sleep(20)
        expect(isWaitedFor()).toBe(kind !== 'survivors')
        if (isWaitedFor()) await fleet.start(fleet.members.indexOf(lost()))
        await areOver(fleet.members.filter(({ isGone }) => !isGone))
      })
    },
    60_000,
  )
})

describe('a plan that bears attackers', () => {
  const of = (changes: object): FedPlan => checkFedPlan(robust(3, changes), 'plan')
  const authored = newIdentity()

  test('is offered with the number of attackers alone, and started by as many sites as that takes', () => {
    const now = '2026-11-30T00:00:00.000Z'
    expect(() => makeOffer(authored, of({ robust: undefined }), now)).toThrow(/how many attackers .* takes 9 sites/)
    const offer = makeOffer(authored, of({ robust: { attackers: 2 } }), now)
    const joins = Array.from({ length: 15 }, (_, at) => makeJoin(newIdentity(), offer, `s${at}`))
    expect(() => makeStart(authored, { ...offer, plan: of({ robust: { attackers: 2 } }) }, joins.slice(1))).toThrow(
      /takes 15 sites, 3 \(2 x 2 \+ 1\), and there are 14/,
    )
    makeStart(authored, { ...offer, plan: of({ robust: { attackers: 2 } }) }, joins)
  })

  test('is begun and checked with what it takes in words', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'wary.json')
    const made = await call(['fed', 'new', '--robust', '2', '-o', path])
    expect(made).toMatchObject({ status: 0 })
    const checked = await call(['fed', 'check', path])
    const words = [
      'bears 2 attackers among 20 sites with groups of 4; to bear f it takes 4 (2f + 1) sites',
      'hidden among the 4 or more of its bucket, not among all',
      'no round is made of fewer than 5 buckets',
    ]
    for (const said of words) for (const { stderr } of [made, checked]) expect(stderr).toContain(said)
    const few = JSON.parse(readFileSync(path, 'utf8')) as { minimum: object }
    writeFileSync(path, JSON.stringify({ ...few, minimum: { sites: 19 } }))
    expect((await call(['fed', 'check', path])).stderr).toContain('it does not start with fewer than 20')
    rmSync(folder, { recursive: true, force: true })
  })

  test.each([
    [{ strategy: { name: 'fedavg' } }, 'goes with the strategy "bucketed" alone'],
    [{ secagg: 'off' }, 'is about secure sums'],
    [{ strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'trimmed', trim: 0 } }, 'cuts 0 means'],
    [{ strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'trimmed', trim: 2 } }, 'leaves none of 3'],
    [{ strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'nearest', trim: 0 } }, 'cuts 0 means'],
    [{ strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'nearest', trim: 2 } }, 'leaves none of 3'],
    [{ robust: { attackers: 1, statistics: 'median' } }, 'robust.statistics'],
    [{ privacy: { unit: 'record', epsilon: 1, delta: 1e-5, clip: 1 } }, 'does not go with the strategy'],
  ])('is refused where it cannot work: %j', (changes, why) => {
    expect(() => of(changes)).toThrow(why)
  })
})
