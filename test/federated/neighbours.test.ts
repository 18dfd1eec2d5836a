/** Secure sums of many, each of whom shares with its neighbours alone: what holds for all of a small round holds for each neighbourhood. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditKept } from '../../src/federated/fleet/audit-round.ts'
import {
  auditRound,
  checkFedPlan,
  createGraph,
  decodeTranscript,
  encodeState,
  encodeTranscript,
  nodePrimitives,
  sharingOf,
  simulateFederation,
} from '../../src/federated/index.ts'
import type { FedPlan } from '../../src/federated/index.ts'
import { checkMembers } from '../../src/federated/plan/sharing.ts'
import type { Transcript } from '../../src/federated/rounds/transcript.ts'
import { fixedOf } from '../../src/federated/rounds/wide.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { isWhole } from '../whole.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit, Member } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { header, plainSum, runRound } from './support/round.ts'
import type { Stage } from './support/round.ts'

const N = 40
/** Each has eight neighbours; six of the nine who hold its shares restore what it shared, so three may be gone. */
const NEIGHBOURS = { degree: 8, threshold: 6 }
const GRAPH = { kind: 'regular', degree: 8 } as const

let folder: string
beforeEach(() => (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const planOf = (changes: object = {}): FedPlan =>
  checkFedPlan(plan({ secagg: { f: 16, bits: 32, c: 8, neighbours: NEIGHBOURS }, ...changes }), 'plan')

/** ln C(n, k) */
function logChoose(n: number, k: number): number {
  let sum = 0
  for (let index = 1; index <= k; index++) sum += Math.log((n - k + index) / index)
  return sum
}

/** log2 of the chance that of `draws` out of `all`, `marked` of them marked, more than `most` are; -Infinity: it cannot be. */
function chanceOver(most: number, all: number, marked: number, draws: number): number {
  let sum = 0
  for (let hit = most + 1; hit <= Math.min(marked, draws); hit++) {
    if (draws - hit > all - marked) continue
    sum += Math.exp(logChoose(marked, hit) + logChoose(all - marked, draws - hit) - logChoose(all, draws))
  }
  return Math.log2(sum)
}

describe('who shares with whom', () => {
  test('is all with all up to 64, t above two thirds, and neighbours from then on; the quorum stays that of all', () => {
    for (const n of [3, 4, 10, 64]) {
      const t = Math.min(n, Math.floor((2 * n) / 3) + 1)
      expect(sharingOf(n)).toEqual({ graph: { kind: 'complete' }, t, quorum: t })
    }
    expect(sharingOf(65)).toEqual({ graph: { kind: 'regular', degree: 38 }, t: 26, quorum: 44 })
    expect(sharingOf(1000)).toEqual({ graph: { kind: 'regular', degree: 96 }, t: 67, quorum: 667 })
    expect(sharingOf(N, NEIGHBOURS)).toEqual({ graph: GRAPH, t: 6, quorum: 27 })
    expect(sharingOf(9, NEIGHBOURS)).toEqual(sharingOf(9))
  })

  test.each([65, 100, 128, 129, 200, 256, 257, 400, 512, 513, 800, 1024, 1025, 2500, 4096])(
    'of %i: a tenth of colluders hold no t shares of anybody, and a tenth that is gone leaves everybody t',
    (n) => {
      const { graph, t } = sharingOf(n)
      const { degree } = graph as { readonly degree: number }
      const tenth = Math.floor(n / 10)
      expect(Math.log2(n) + chanceOver(t - 1, n - 1, tenth, degree)).toBeLessThan(-150)
      // Of one that is gone itself the neighbours alone are left.
      expect(Math.log2(n) + chanceOver(degree - t, n - 1, tenth, degree)).toBeLessThan(-20)
    },
  )

  test.each([
    [{ degree: 7, threshold: 5 }, {}, /degree/],
    [{ degree: 8, threshold: 4 }, {}, /is 4 of 9 who hold shares .* more than half/],
    [{ degree: 8, threshold: 10 }, {}, /is 10 of 9/],
    [{ degree: 2, threshold: 3 }, {}, /degree/],
    [NEIGHBOURS, { strategy: { name: 'bucketed', group: 3, clip: 2, rule: 'median' } }, /take theirs by their members/],
  ])('is refused where it cannot work: %j with %j', (neighbours, changes, why) => {
    expect(() => planOf({ secagg: { f: 16, bits: 32, c: 8, neighbours }, ...changes })).toThrow(why)
  })

  test('has places for 4096 members', () => {
    const small = planOf({ secagg: { f: 12, bits: 32, c: 8, neighbours: NEIGHBOURS } })
    expect(() => checkMembers(small, 4096)).not.toThrow()
    expect(() => checkMembers(small, 4097)).toThrow(/4096 members at most/)
  })
})

/** Every byte of these rounds is made in turn: fewer members than in the rounds over pipes below. */
const FEW = 20
const VALUES = Array.from({ length: FEW }, (_, who) => [who, -7 * who, 1000 - who])
const ROUND = header({ t: NEIGHBOURS.threshold, d: 3 })
const OPTIONS = { graph: GRAPH, init: { quorum: sharingOf(FEW, NEIGHBOURS).quorum } }

let near: readonly number[] | undefined

/** Positions of the neighbours of the first of the roster, where all have advertised. */
function neighbourhood(): readonly number[] {
  if (near !== undefined) return near
  const { sid } = runRound(ROUND, VALUES, undefined, OPTIONS)
  const graph = createGraph(nodePrimitives, GRAPH, FEW, sid)
  return (near = graph.holders(0).filter((place) => place !== 0))
}

/** Of whom the last message is another than the last there is. */
function ending(places: readonly number[], stage: Stage): Stage[] {
  return VALUES.map((_, place) => (places.includes(place) ? stage : 'unmask'))
}

describe('a neighbourhood of which three of nine are gone', () => {
  test.each<[Stage, boolean]>([
    ['none', false],
    ['advertise', false],
    ['share', false],
    ['mask', true],
    ['consistency', true],
  ])('after "%s": the sum is exact, with their vectors where these were there (%s)', (stage, isIn) => {
    const gone = neighbourhood().slice(0, 3)
    const round = runRound(ROUND, VALUES, ending(gone, stage), OPTIONS)
    const rows = VALUES.filter((_, place) => isIn || !gone.includes(place))
    expect([...round.sum.words]).toEqual(plainSum(rows, 32))
    for (const { sealed } of round.shared.values()) expect(sealed).toHaveLength(8)
    const { sid, roster, survivors, reveals, vectors, sealed } = round
    const again = auditRound(nodePrimitives, {
      t: ROUND.t,
      bits: 32,
      d: 3,
      sid,
      roster,
      sharers: new Set(sealed.keys()),
      survivors: new Set(survivors.map(({ position }) => position)),
      masked: vectors,
      digests: new Map(survivors.map(({ position, digest }) => [position, digest])),
      reveals,
      graph: GRAPH,
    })
    expect(again.words).toEqual(round.sum.words)
  })

  test('and another one: the first of the roster is gone too, and its mask key is restored by its neighbours', () => {
    const gone = [0, ...neighbourhood().slice(0, 2)]
    const { sum } = runRound(ROUND, VALUES, ending(gone, 'share'), OPTIONS)
    expect([...sum.words]).toEqual(
      plainSum(
        VALUES.filter((_, place) => !gone.includes(place)),
        32,
      ),
    )
    expect([...sum.s.keys()].sort((left, right) => left - right)).toEqual(gone.toSorted((left, right) => left - right))
  })
})

describe('a neighbourhood of which four of nine are gone', () => {
  test.each<[Stage, RegExp]>([
    ['share', /5 of those who hold shares of this member sent a vector, 6 are needed/],
    ['consistency', /no 6 of 5 shares restore the secret of member/],
  ])('after "%s": there is no sum, however many others are left', (stage, why) => {
    const gone = neighbourhood().slice(0, 4)
    expect(() => runRound(ROUND, VALUES, ending(gone, stage), OPTIONS)).toThrow(why)
  })

  test('before anybody masks: who is left without holders masks nothing', () => {
    const gone = neighbourhood().slice(0, 4)
    expect(() => runRound(ROUND, VALUES, ending(gone, 'advertise'), OPTIONS)).toThrow(
      /5 members shared their keys, 6 are needed/,
    )
  })
})

test('no share leaves before two thirds of all have signed one set: t of neighbours are not enough', () => {
  const few = VALUES.map((_, place): Stage => (place % 3 === 0 ? 'mask' : 'unmask'))
  expect(() => runRound(ROUND, VALUES, few, OPTIONS)).toThrow(/13 members signed the set of survivors, 14 are needed/)
})

/** Adds its number in 256ths, and trains nothing. */
const counting: NonNullable<FleetInit['siteOf']> = (index, site) => ({
  records: site.records,
  begin: () => Promise.resolve({ global: new Float32Array(5), strategy: {} }),
  prepare: async (state, memory, round, signal) =>
    state.pooled === null
      ? site.prepare(state, memory, round, signal)
      : {
          contribution: {
            reals: Float64Array.from({ length: 5 }, (_, at) => ((index + 1) * (at + 1)) / 256),
            wide: [fixedOf(1), fixedOf(0), fixedOf(2 ** (index % 20))],
          },
          memory,
          noise: undefined,
        },
})

async function fleetOf(changes: object, init: Partial<FleetInit> = {}): Promise<Fleet> {
  return createFleet({
    folder,
    plan: plan({
      model: { kind: 'linear' },
      rounds: 2,
      strategy: { name: 'fedavg', weights: 'uniform' },
      secagg: { f: 16, bits: 32, c: 8, neighbours: NEIGHBOURS },
      ...changes,
    }),
    rows: Array.from({ length: N }, (_, index) => hospitalRows(index + 1, 6)),
    times: { ...PATIENT, coordinator: { ...PATIENT.coordinator, graceMs: 3000 } },
    siteOf: counting,
    ...init,
  })
}

/** Each step adds the mean of the numbers of those who were in its sum. */
function expectMeans(fleet: Fleet, sums: readonly (readonly number[])[]): void {
  const { global } = fleet.members.find(({ isGone }) => !isGone)!.standing.current.state
  const wanted = sums.reduce((sum, all) => sum + all.reduce((one, index) => one + index + 1, 0) / all.length / 256, 0)
  for (const [at, value] of global.entries()) expect(value).toBeCloseTo(wanted * (at + 1), 4)
}

const ALL = Array.from({ length: N }, (_, index) => index)

describe('rounds of forty members in one process', () => {
  test('sum exactly, send each eight shares, and can be summed again by anybody', async () => {
    const kept: Transcript[] = []
    const sizes = new Set<number>()
    const fleet: Fleet = await fleetOf(
      { transcripts: 5 },
      {
        keep: (session, before, round) => {
          const aggregator = fleet.members.find(({ log }) => log.some(({ facts }) => facts['session'] === session))!
          kept.push({
            ...round,
            job: 'job-1',
            session,
            aggregator: aggregator.identity.id,
            before: encodeState(before),
          })
          return Promise.resolve()
        },
        onMessage: (_from, _to, kind, body) => {
          if (kind === 'shares') sizes.add((body as { sealed: unknown[] }).sealed.length)
        },
      },
    )
    try {
      await areOver(fleet.members)
      expectMeans(fleet, [ALL, ALL])
      expect([...sizes]).toEqual([8])
      expect(kept.length).toBe(3)
      for (const transcript of kept) {
        const { identity } = fleet.members.find(({ identity: { id } }) => id === transcript.aggregator)!
        const read = decodeTranscript(encodeTranscript(transcript, (bytes) => identity.sign(bytes)))
        const { findings, members } = auditKept(fleet.job, read, [])
        expect([findings, members.length]).toEqual([[], N])
      }
    } finally {
      await fleet.stop()
    }
  }, 240_000)

  test.each(isWhole ? ['shares', 'piece', 'masked', 'consistency', 'reveal'] : ['piece'])(
    'bear three that are gone in one neighbourhood before "%s"',
    async (kind) => {
      let near: readonly string[] | undefined
      const lost = new Set<Member>()
      const fleet: Fleet = await fleetOf(
        { rounds: 1 },
        {
          onMessage: (from, _to, sent, body) => {
            if (from.standing.current.state.pooled === null) return
            if (sent === 'shares' && near === undefined) {
              // Positions are by identity, as members are by id: both sort by the same key.
              const { sealed } = body as { sealed: readonly { readonly position: number }[] }
              const order = fleet.job.members.toSorted((one, other) => Buffer.compare(one.key, other.key))
              near = sealed.slice(0, 3).map(({ position }) => order[position]!.peer)
            }
            if (sent !== kind || near?.includes(from.identity.id) !== true || lost.has(from)) return
            lost.add(from)
            from.end()
          },
        },
      )
      try {
        const others = (): Member[] => fleet.members.filter((member) => !lost.has(member))
        await Promise.race(fleet.members.map(({ over }) => over))
        while (lost.size < 3) await Promise.race(others().map(({ over }) => over))
        await areOver(others())
        const isIn = kind === 'consistency' || kind === 'reveal'
        const gone = [...lost].map((member) => fleet.members.indexOf(member))
        expectMeans(fleet, [isIn ? ALL : ALL.filter((index) => !gone.includes(index))])
      } finally {
        await fleet.stop()
      }
    },
    240_000,
  )
})

test('a simulation with masks among neighbours has the integers of one without', async () => {
  const path = writeSite(folder, 'all', hospitalRows(5, 200))
  const needs = { clock: systemClock(), engine: createOrtEngine() }
  const checked = planOf({ model: { kind: 'linear' }, rounds: 2, minimum: { sites: 3, records: 2 } })
  const run = async (masks: boolean): Promise<object> =>
    simulateFederation(needs, {
      plan: checked,
      data: [path],
      out: join(folder, String(masks)),
      spec: { seed: 3, clients: N, dropouts: 0.05, masks, threads: 1 },
    })
  expect(await run(true)).toEqual(await run(false))
}, 60_000)
