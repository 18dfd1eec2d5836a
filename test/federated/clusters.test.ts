/** Sums of sums: each cluster of sites is a secure sum, and so are the sums of clusters. */
import { rmSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import {
  checkFedPlan,
  decodeState,
  encodeState,
  FIRST_STATE,
  JobView,
  LocalPool,
  readFedData,
  RoundMath,
  Simulation,
  SiteTrainer,
  stateHash,
} from '../../src/federated/index.ts'
import type { FedState } from '../../src/federated/index.ts'
import { makeJoin, makeOffer, makeStart } from '../../src/federated/fleet/documents.ts'
import type { Start } from '../../src/federated/fleet/documents.ts'
import { leastOfClusters } from '../../src/federated/plan/cohort.ts'
import { decodeSum } from '../../src/federated/rounds/layout.ts'
import { WIDE } from '../../src/federated/rounds/math.ts'
import { realOf } from '../../src/federated/rounds/wide.ts'
import { unpack } from '../../src/federated/secagg/packing.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { isWhole } from '../whole.ts'
import { areOver, clock, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const ROWS = Array.from({ length: 12 }, (_, seed) => hospitalRows(seed + 1, 30 + seed))
const CLUSTERS = ['north', 'south', 'west'].map((name, at) => ({
  name,
  sites: [0, 1, 2, 3].map((place) => `site-${4 * at + place}`),
}))

function clustered(changes: object = {}): object {
  return plan({ model: { kind: 'linear' }, rounds: 1, clusters: CLUSTERS, deadline: '3s', ...changes })
}

interface Kept {
  readonly state: FedState
  readonly sum: Uint8Array
  readonly size: number
}

async function run(
  init: Partial<FleetInit>,
  act: (fleet: Fleet, kept: readonly Kept[]) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder()
  const kept: Kept[] = []
  const fleet = await createFleet({
    times: PATIENT,
    folder,
    plan: clustered(),
    rows: ROWS,
    keep: (_, before, { sum, survivors }) => {
      kept.push({ state: decodeState(encodeState(before)), sum, size: survivors.length })
      return Promise.resolve()
    },
    keepSums: (_, before, { parts }) => {
      for (const { round } of parts) {
        kept.push({ state: decodeState(encodeState(before)), sum: round.sum, size: round.survivors.length })
      }
      return Promise.resolve()
    },
    ...init,
  })
  try {
    await act(fleet, kept)
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Records that an opened sum says it is of. */
function recordsOf({ job }: Fleet, { state, sum }: Kept): number {
  const { bits, d, f, c } = job.header(0, state, stateHash(state), job.groups(state)[0]!)
  const { wide } = decodeSum(unpack(sum, bits, d), job.layout(state), { f, c })
  return realOf(wide[state.pooled === null ? 0 : WIDE.records]!)
}

describe('sums of clusters', () => {
  test('make the model that one sum of all makes, and whoever aggregates sees no sum of a cluster', async () => {
    let flat: FedState | undefined
    await run({ plan: clustered({ clusters: undefined }) }, async (fleet, kept) => {
      await areOver(fleet.members)
      flat = fleet.members[0]!.standing.current.state
      // What is looked at below tells records, where it is opened.
      expect(recordsOf(fleet, kept.at(-1)!)).toBe(flat.pooled!.records)
    })
    await run({}, async (fleet, kept) => {
      await areOver(fleet.members)
      const { state } = fleet.members[0]!.standing.current
      expect(state.pooled).toEqual(flat!.pooled)
      for (const [index, value] of state.global.entries()) expect(value).toBeCloseTo(flat!.global[index]!, 3)
      expect(kept.map(({ size }) => size)).toEqual([4, 4, 4, 4, 4, 4])
      for (const one of kept) {
        const records = recordsOf(fleet, one)
        expect(Number.isInteger(records) && records > 0 && records < 1000).toBe(false)
      }
    })
  }, 60_000)
})

describe('the same plan in a simulation', () => {
  /** States of a simulation of all sites. */
  async function simulated(changes: object, masks: boolean): Promise<FedState> {
    const folder = temporaryFolder()
    const checked = checkFedPlan(clustered({ rounds: 2, ...changes }), 'plan')
    const needs = { clock, engine: createOrtEngine(), folder, threads: 1 }
    const trainers = await Promise.all(
      ROWS.map(async (rows, at) =>
        SiteTrainer.open(needs, checked, await readFedData(writeSite(folder, `site-${at}`, rows))),
      ),
    )
    try {
      const pool = new LocalPool(trainers, new RoundMath(checked, trainers.length), 5)
      const simulation = new Simulation(checked, pool, { seed: 5, masks })
      await simulation.run()
      return simulation.state
    } finally {
      for (const trainer of trainers) await trainer.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }

  test('is of the same integers: clusters as one sum of all, and both with masks as without', async () => {
    const flat = await simulated({ clusters: undefined }, false)
    expect(flat.done).toBe(2)
    expect(await simulated({}, false)).toEqual(flat)
    expect(await simulated({}, true)).toEqual(flat)
    const buckets = {
      clusters: undefined,
      strategy: { name: 'bucketed', group: 4, clip: 2, rule: 'median' },
      robust: { attackers: 1 },
    }
    expect(await simulated(buckets, true)).toEqual(await simulated(buckets, false))
  }, 60_000)
})

/** Ends the first that sends this message in a sum of training and is, or is not, the delegate of its cluster. */
function losing(
  kind: string,
  isDelegate: boolean,
): {
  readonly onMessage: NonNullable<FleetInit['onMessage']>
  readonly lost: () => Member
  readonly of: { fleet?: Fleet }
} {
  let lost: Member | undefined
  const of: { fleet?: Fleet } = {}
  return {
    of,
    lost: () => lost!,
    onMessage(from, to, sent) {
      const { state } = from.standing.current
      if (lost !== undefined || sent !== kind || from === to || state.pooled === null) return
      const { delegate } = of.fleet!.job.groupOf(from.identity.id, state)
      if ((delegate === from.identity.id) !== isDelegate) return
      lost = from
      from.end()
    },
  }
}

describe('a site that is gone', () => {
  const kinds = ['shares', 'piece', 'consistency', 'reveal']
  test.each(isWhole ? kinds : ['piece'])(
    'before "%s" leaves its cluster a sum of the other three',
    async (kind) => {
      const losses = losing(kind, false)
      await run({ onMessage: losses.onMessage }, async (fleet) => {
        losses.of.fleet = fleet
        await Promise.race(fleet.members.map(({ over }) => over))
        await areOver(fleet.members.filter((member) => member !== losses.lost()))
        const { facts } = fleet.members
          .filter((member) => member !== losses.lost())[0]!
          .log.findLast(({ event }) => event === 'applied')!
        expect(facts['members']).toBe(kind === 'shares' || kind === 'piece' ? 11 : 12)
      })
    },
    60_000,
  )

  test('and was the delegate of its cluster leaves it closed: no share of the cluster leaves, and the others wait', async () => {
    const losses = losing('piece', true)
    const revealed = new Set<string>()
    const onMessage: FleetInit['onMessage'] = (from, to, kind, body, payload) => {
      losses.onMessage(from, to, kind, body, payload)
      if (kind === 'reveal' && from.standing.current.state.pooled !== null) revealed.add(from.identity.id)
    }
    await run({ onMessage }, async (fleet) => {
      losses.of.fleet = fleet
      const isClosed = (): boolean => fleet.members.some(({ log }) => log.some(({ event }) => event === 'sum.closed'))
      while (!isClosed()) await new Promise((resolve) => setTimeout(resolve, 20))
      const { state } = losses.lost().standing.current
      const own = fleet.job.groupOf(losses.lost().identity.id, state).members.map(({ peer }) => peer)
      expect(own.filter((peer) => revealed.has(peer))).toEqual([])
      await fleet.start(fleet.members.indexOf(losses.lost()))
      await areOver(fleet.members)
    })
  }, 60_000)
})

describe('a sum of clusters that was signed, and whose result nobody has', () => {
  const four = ['north', 'south', 'west', 'east'].map((name, at) => ({
    name,
    sites: [0, 1, 2].map((place) => `site-${3 * at + place}`),
  }))

  test('is made again of the very same clusters, also where another could be in it by then', async () => {
    let [fleetOf, closed, aggregator]: [Fleet?, Member?, Member?] = []
    const onMessage: FleetInit['onMessage'] = (from, to, kind) => {
      const { state } = from.standing.current
      if (state.pooled === null || fleetOf === undefined) return
      const own = fleetOf.job.groupOf(from.identity.id, state)
      // One without the aggregator, whose own cluster is waited for then.
      const isOther = own.delegate === from.identity.id && own.members.every(({ peer }) => peer !== to.identity.id)
      if (kind === 'piece' && closed === undefined && isOther) {
        closed = from
        from.end()
      }
      // Whoever tells the sum before has applied it itself by then.
      if (kind === 'result' && closed !== undefined && aggregator === undefined) {
        aggregator = from
        from.end()
      }
    }
    await run({ plan: clustered({ clusters: four }), onMessage }, async (fleet) => {
      fleetOf = fleet
      const isLost = (): boolean => aggregator !== undefined
      while (!isLost()) await new Promise((resolve) => setTimeout(resolve, 20))
      const bound = fleet.members.flatMap(({ standing }) => standing.boundClusters ?? [])
      expect(new Set(bound).size).toBe(3)
      expect(bound).not.toContain(closed!.identity.id)
      for (const gone of [closed!, aggregator!]) await fleet.start(fleet.members.indexOf(gone))
      await areOver(fleet.members)
      const last = fleet.members.map(({ log }) => log.findLast(({ event }) => event === 'applied')?.facts['members'])
      // The others were brought to what the nine made.
      expect(last.filter((members) => members === 9)).toHaveLength(9)
    })
  }, 60_000)
})

describe('whoever masks the sum of its cluster', () => {
  const isDelegate = ({ job }: Fleet, { identity, standing }: Member): boolean =>
    job.groupOf(identity.id, standing.current.state).delegate === identity.id

  test('does not aggregate, whatever the step, and the others do', async () => {
    let of: Fleet | undefined
    const aggregated: boolean[] = []
    const onMessage: FleetInit['onMessage'] = (from, _, kind) => {
      if (kind === 'roster') aggregated.push(isDelegate(of!, from))
    }
    await run({ onMessage }, async (fleet) => {
      of = fleet
      await areOver(fleet.members)
      expect(new Set(aggregated)).toEqual(new Set([false]))
      for (let done = 0; done < 20; done++) {
        const delegates = fleet.job.groups({ ...FIRST_STATE, done }).map(({ delegate }) => delegate!)
        const order = fleet.job.aggregators(done)
        expect(order).toHaveLength(9)
        expect(order.filter((peer) => delegates.includes(peer))).toEqual([])
      }
    })
  }, 60_000)

  test('is refused where all would have it aggregate, and gets nothing of any site', async () => {
    const isFirst = vi.spyOn(JobView.prototype, 'aggregators').mockImplementation(function (this: JobView, done) {
      const delegates = this.groups({ ...FIRST_STATE, done }).map(({ delegate }) => delegate!)
      return [...delegates, ...this.peers.filter((peer) => !delegates.includes(peer))]
    })
    let of: Fleet | undefined
    const given: boolean[] = []
    const onMessage: FleetInit['onMessage'] = (_from, to, kind) => {
      if (kind === 'advertise') given.push(isDelegate(of!, to))
    }
    try {
      await run({ onMessage }, async (fleet) => {
        of = fleet
        const refused = (): number =>
          fleet.members.filter(({ log }) =>
            log.some(({ facts }) => String(facts['why']).includes('masks the sum of cluster')),
          ).length
        while (refused() < 6) await new Promise((resolve) => setTimeout(resolve, 20))
        expect(given).not.toContain(true)
      })
    } finally {
      isFirst.mockRestore()
    }
  }, 60_000)

  test('is nobody else: what another member says in its place is passed over', async () => {
    let of: Fleet | undefined
    let said = 0
    const rewrite: FleetInit['rewrite'] = (from, message) => {
      if (of === undefined || isDelegate(of, from)) return message
      const { body, kind } = message
      if (kind === 'advertise') return { ...message, body: { ...body, upper: body['entry'] } }
      if (kind !== 'masked') return message
      said++
      return { ...message, body: { ...body, upper: { digest: body['digest'], signature: body['signature'] } } }
    }
    await run({ rewrite }, async (fleet) => {
      of = fleet
      await areOver(fleet.members)
      expect(said).toBeGreaterThan(0)
      for (const { log } of fleet.members)
        expect(log.findLast(({ event }) => event === 'applied')!.facts['members']).toBe(12)
    })
  }, 60_000)
})

describe('a plan with clusters', () => {
  test.each([
    [{ secagg: 'off' }, 'are about secure sums'],
    [{ clusters: [...CLUSTERS, { name: 'east', sites: ['a', 'b', 'site-1'] }] }, 'have the site "site-1" twice'],
    [{ clusters: CLUSTERS.slice(1) }, 'too small'],
  ])('is refused where it cannot work: %j', (changes, why) => {
    expect(() => checkFedPlan(clustered(changes), 'plan')).toThrow(new RegExp(why, 'i'))
  })

  test('is started with three sites of each cluster, and none of no cluster', () => {
    const author = newIdentity()
    const checked = checkFedPlan(clustered(), 'plan')
    const offer = { ...makeOffer(author, checked, '2026-11-30T00:00:00.000Z'), plan: checked }
    const joins = CLUSTERS.flatMap(({ sites }) => sites).map((site) => makeJoin(newIdentity(), offer, site))
    makeStart(author, offer, joins.slice(1))
    expect(() => makeStart(author, offer, joins.slice(2))).toThrow('"north", of which 2 sites')
    expect(() => makeStart(author, offer, [...joins, makeJoin(newIdentity(), offer, 'far')])).toThrow('the site "far"')
  })

  test('opens no sum of fewer sites than it says: 9 of 12, three of each cluster', () => {
    expect(leastOfClusters([4, 4, 4])).toBe(9)
    // Six of nine clusters, of which the smallest: six times seven.
    expect(leastOfClusters(Array.from({ length: 9 }, () => 9))).toBe(49)
    const author = newIdentity()
    const started = (sites: number): Start => {
      const checked = checkFedPlan(clustered({ minimum: { sites, records: 64 } }), 'plan')
      const offer = { ...makeOffer(author, checked, '2026-11-30T00:00:00.000Z'), plan: checked }
      return makeStart(
        author,
        offer,
        CLUSTERS.flatMap((one) => one.sites).map((site) => makeJoin(newIdentity(), offer, site)),
      )
    }
    expect(started(9).members).toHaveLength(12)
    expect(() => started(10)).toThrow('can be opened with 9 of these 12 sites')
  })
})
