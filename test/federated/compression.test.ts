/** Updates made smaller: what is drawn, what is kept, and the papers' algorithms in plain float64, sum by sum. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSeeded } from '../../src/data/index.ts'
import { checkData, checkFedPlan, FIRST_STATE, LocalPool, readFedData } from '../../src/federated/index.ts'
import { RoundMath, Simulation, SiteTrainer, stateHash } from '../../src/federated/index.ts'
import type { FedPlan, FedState, SimulationSpec } from '../../src/federated/index.ts'
import { compressionOf } from '../../src/federated/compression/compression.ts'
import { orthonormalise } from '../../src/federated/compression/orthonormal.ts'
import { drawnCoordinates } from '../../src/federated/compression/random-k.ts'
import { compressedUpdate } from '../../src/federated/site/compressed.ts'
import type { SiteMemory } from '../../src/federated/site/site.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { areOver, createFleet, PATIENT } from './support/fleet.ts'
import type { Fleet, FleetInit } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 40, -5), hospitalRows(4, 50, 8)]
const LOW_RANK = { compression: { kind: 'low-rank', rank: 2 }, model: { kind: 'mlp', hidden: [8], activation: 'tanh' } }
const RANDOM_K = { compression: { kind: 'random-k', share: 0.3 } }
/** Parameters of the networks of `LOW_RANK`, of which one is a matrix that becomes smaller, and of `plan`. */
const [D, ROWS_OF, COLUMNS_OF] = [73, 7, 8]

let folder: string
beforeEach(() => (folder = temporaryFolder()))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const planOf = (changes: object): FedPlan => checkFedPlan(plan(changes), 'plan')

describe('the coordinates of a round', () => {
  test('are k distinct ones, the same for all that know job and step, others at each step and job', () => {
    const draw = (job: string, step: number): string => drawnCoordinates(job, step, 50, 7).join()
    const places = drawnCoordinates('job', 3, 50, 7)
    expect([...places]).toEqual([...new Set(places)].sort((left, right) => left - right))
    expect(draw('job', 3)).toBe(places.join())
    expect(new Set(Array.from({ length: 20 }, (_, step) => draw('job', step)).concat(draw('other', 3))).size).toBe(21)
  })

  test('are each as likely as any other', () => {
    const [d, k, steps] = [20, 5, 4000]
    const counts = new Float64Array(d)
    for (let step = 0; step < steps; step++) for (const place of drawnCoordinates('job', step, d, k)) counts[place]!++
    const wanted = (steps * k) / d
    const deviation = Math.sqrt(wanted * (1 - k / d))
    for (const count of counts) expect(Math.abs(count - wanted)).toBeLessThan(5 * deviation)
  })
})

/** Sums of members by the code under test: each has its memory, and some are away. */
function rounds(checked: FedPlan, d: number, shapes: { dims: number[] }[], count: number): Run {
  const compression = compressionOf(checked, 'job')!
  const seeded = createSeeded(7, 'updates')
  const memories: SiteMemory[] = [{}, {}, {}]
  let state: FedState = { ...FIRST_STATE, global: new Float32Array(d), strategy: compression.first(shapes) }
  const run: Run = { first: state, updates: [], made: [] }
  for (let round = 0; round < count; round++) {
    const updates = memories.map(() => Float64Array.from({ length: d }, () => 0.01 * seeded.normal()))
    // Of three members one is away in the second round.
    const here = round === 1 ? [0, 2] : [0, 1, 2]
    run.updates.push({ updates, here })
    for (let sum = 0; sum < compression.sums; sum++) {
      const sent = here.map((index) => {
        const trained = { round, loss: 0, update: updates[index]! }
        const { update, memory } = compressedUpdate(compression, state, memories[index]!, trained)
        memories[index] = memory
        return update
      })
      expect(sent[0]!.length).toBe(compression.size(state))
      const mean = sent[0]!.map((_, at) => sent.reduce((total, one) => total + one[at]!, 0) / sent.length)
      if (compression.isLast(state)) run.made.push(compression.receive(state, mean))
      state = { ...state, done: state.done + 1, strategy: compression.after(state, mean) }
    }
  }
  return run
}

interface Run {
  readonly first: FedState
  readonly updates: { readonly updates: Float64Array[]; readonly here: readonly number[] }[]
  readonly made: Float64Array[]
}

function farthest(left: ArrayLike<number>, right: ArrayLike<number>): number {
  return Math.max(...Array.from(left, (value, index) => Math.abs(value - right[index]!)))
}

describe('random coordinates', () => {
  test('with memory: each member sends of update and memory what was drawn, and keeps the rest (Stich et al.)', () => {
    const { updates, made } = rounds(planOf(RANDOM_K), 40, [{ dims: [40] }], 6)
    const memory = [0, 1, 2].map(() => Array.from({ length: 40 }, () => 0))
    for (const [round, { updates: all, here }] of updates.entries()) {
      const drawn = new Set(drawnCoordinates('job', round, 40, 12))
      const wanted = Array.from({ length: 40 }, () => 0)
      for (const index of here) {
        for (let at = 0; at < 40; at++) {
          const value = memory[index]![at]! + all[index]![at]!
          if (drawn.has(at)) wanted[at] = wanted[at]! + value / here.length
          memory[index]![at] = drawn.has(at) ? 0 : value
        }
      }
      expect(farthest(made[round]!, wanted)).toBeLessThan(1e-15)
    }
  })

  test('without memory: stretched by d / k, so that the mean over many rounds is the update itself', () => {
    const checked = planOf({ compression: { kind: 'random-k', share: 0.3, feedback: false } })
    const compression = compressionOf(checked, 'job')!
    const update = Float64Array.from({ length: 10 }, (_, at) => at - 4)
    const sum = new Float64Array(10)
    for (let done = 0; done < 4000; done++) {
      const state = { ...FIRST_STATE, done, global: new Float32Array(10) }
      const { reals, residual } = compression.send(state, update)
      expect([reals.length, residual]).toEqual([3, undefined])
      for (const [at, value] of compression.receive(state, reals).entries()) sum[at]! += value / 4000
    }
    // Each is 10/3 of itself in 3 of 10 rounds: a deviation of 1.53 of itself, by the root of 4000.
    for (const [at, value] of sum.entries()) expect(Math.abs(value - update[at]!)).toBeLessThan(0.6)
  })
})

/** PowerSGD as its paper has it: Q as it comes, nothing made orthonormal but P. */
function powerSgd({ first, updates }: Run, rank: number): Float64Array[] {
  const at = (row: number, column: number): number => row * COLUMNS_OF + column
  let q = Array.from({ length: COLUMNS_OF }, (_, column) =>
    Array.from({ length: rank }, (_, k) => first.strategy['low-rank q']![column * rank + k]!),
  )
  const memory = updates[0]!.updates.map(() => new Float64Array(D))
  return updates.map(({ updates: all, here }) => {
    const delta = here.map((index) => all[index]!.map((value, place) => value + memory[index]![place]!))
    const mean = delta[0]!.map((_, place) => delta.reduce((sum, one) => sum + one[place]!, 0) / here.length)
    const p = Array.from({ length: ROWS_OF }, (_, row) =>
      Array.from({ length: rank }, (_, k) => q.reduce((sum, of, column) => sum + mean[at(row, column)]! * of[k]!, 0)),
    )
    for (let k = 0; k < rank; k++) {
      for (let other = 0; other < k; other++) {
        const product = p.reduce((sum, row) => sum + row[k]! * row[other]!, 0)
        for (const row of p) row[k] = row[k]! - product * row[other]!
      }
      const norm = Math.sqrt(p.reduce((sum, row) => sum + row[k]! ** 2, 0))
      for (const row of p) row[k] = row[k]! / norm
    }
    const qOf = (m: Float64Array): number[][] =>
      Array.from({ length: COLUMNS_OF }, (_, column) =>
        Array.from({ length: rank }, (_, k) => p.reduce((sum, row, r) => sum + m[at(r, column)]! * row[k]!, 0)),
      )
    const back = (m: Float64Array): Float64Array => {
      const own = qOf(m)
      return m.map((value, place) => {
        if (place >= ROWS_OF * COLUMNS_OF) return value
        const [row, column] = [Math.floor(place / COLUMNS_OF), place % COLUMNS_OF]
        return p[row]!.reduce((sum, one, k) => sum + one * own[column]![k]!, 0)
      })
    }
    for (const [place, index] of here.entries()) {
      const own = back(delta[place]!)
      memory[index] = delta[place]!.map((value, each) => value - own[each]!)
    }
    q = qOf(mean)
    return back(mean)
  })
}

describe('low rank', () => {
  const shapes = [{ dims: [ROWS_OF, COLUMNS_OF] }, { dims: [COLUMNS_OF] }, { dims: [COLUMNS_OF, 1] }, { dims: [1] }]

  test.each([1, 2, 3])("%d: what all take up is the paper's, over rounds, with a member away in one", (rank) => {
    const run = rounds(planOf({ ...LOW_RANK, compression: { kind: 'low-rank', rank } }), D, shapes, 6)
    for (const [round, wanted] of powerSgd(run, rank).entries()) {
      expect(farthest(run.made[round]!, wanted)).toBeLessThan(1e-12)
    }
  })

  test('a matrix of that rank comes whole, at once', () => {
    const compression = compressionOf(planOf(LOW_RANK), 'job')!
    const update = Float64Array.from({ length: D }, (_, place) => {
      const [row, column] = [Math.floor(place / COLUMNS_OF), place % COLUMNS_OF]
      return (row + 1) * (column - 3) + (row % 2) * column
    })
    let state: FedState = { ...FIRST_STATE, global: new Float32Array(D), strategy: compression.first(shapes) }
    const { reals } = compression.send(state, update)
    state = { ...state, done: 1, strategy: compression.after(state, reals) }
    const { reals: second, residual } = compression.send(state, update)
    expect(farthest(compression.receive(state, second), update)).toBeLessThan(1e-12)
    expect(farthest(residual!, new Float64Array(D))).toBeLessThan(1e-12)
  })

  test('an update of nothing makes no NaN, and a rank that was lost comes back', () => {
    const compression = compressionOf(planOf(LOW_RANK), 'job')!
    let state: FedState = { ...FIRST_STATE, global: new Float32Array(D), strategy: compression.first(shapes) }
    for (let sum = 0; sum < 2; sum++) {
      const { reals } = compression.send(state, new Float64Array(D))
      state = { ...state, done: state.done + 1, strategy: compression.after(state, reals) }
    }
    const q = state.strategy['low-rank q']!
    for (let one = 0; one < 2; one++) {
      for (let other = 0; other < 2; other++) {
        let product = 0
        for (let column = 0; column < COLUMNS_OF; column++) product += q[2 * column + one]! * q[2 * column + other]!
        expect(product).toBeCloseTo(one === other ? 1 : 0, 12)
      }
    }
    const flat = Float64Array.of(1e-200, 2e-200, 1e-200, 2e-200)
    orthonormalise(flat, 2, 2, false)
    expect([flat[1], flat[3]]).toEqual([0, 0])
    expect(Math.hypot(flat[0]!, flat[2]!)).toBeCloseTo(1, 12)
  })
})

/** A simulation of the four hospitals. */
async function simulated(changes: object, spec: Partial<SimulationSpec>): Promise<{ hash: string; bytes: number[] }> {
  const checked = planOf({ rounds: 4, ...changes })
  const needs = { clock: systemClock(), engine: createOrtEngine(), folder, threads: 1 }
  const trainers = []
  for (const [index, rows] of ROWS.entries()) {
    trainers.push(await SiteTrainer.open(needs, checked, await readFedData(writeSite(folder, `s${index}`, rows))))
  }
  const pool = new LocalPool(trainers, new RoundMath(checked, 4, 'simulation-1'), 1)
  const simulation = new Simulation(checked, pool, { seed: 1, ...spec })
  const lines = await simulation.run()
  await pool.close()
  expect(simulation.state.done).toBe(changes === RANDOM_K ? 4 : 8)
  expect(lines.at(-1)!.loss).toBeLessThan(lines[0]!.loss!)
  return { hash: Buffer.from(stateHash(simulation.state)).toString('hex'), bytes: lines.map(({ bytes }) => bytes) }
}

test.each([
  ['random coordinates', RANDOM_K],
  ['low rank', LOW_RANK],
])(
  '%s: masks make no difference to a bit, with a site away in a round',
  async (_, changes) => {
    const drops = new Map([[2, new Set(['s1'])]])
    const masked = await simulated(changes, { masks: true, drops })
    expect(await simulated(changes, { masks: false, drops })).toEqual(masked)
  },
  60_000,
)

const TIMES = {
  coordinator: { ...PATIENT.coordinator, graceMs: 20_000 },
  member: { ...PATIENT.member, probeMs: 100 },
}

async function fleetOf(name: string, changes: object, init: Partial<FleetInit> = {}): Promise<Fleet> {
  mkdirSync(join(folder, name))
  const common = { rounds: 3, minimum: { sites: 4, records: 10 }, ...changes }
  return createFleet({ folder: join(folder, name), plan: plan(common), rows: ROWS, times: TIMES, ...init })
}

describe.each([
  ['random coordinates', RANDOM_K, [37, 11], 1],
  ['low rank', LOW_RANK, [73, 2 * 7, 2 * 8 + 17], 2],
] as const)('rounds over secure sums: %s', (_, changes, [d, ...sizes], sums) => {
  test('what a site keeps survives the end of all of them in the middle of a round; bytes are counted', async () => {
    let isEnded = false
    const ended = Promise.withResolvers<void>()
    const stop = 2 * sums - 1
    const fleet: Fleet = await fleetOf('ended', changes, {
      onMessage: (from, _to, kind) => {
        if (isEnded || kind !== 'piece' || from.standing.current.state.done !== stop) return
        isEnded = true
        for (const member of fleet.members) member.end()
        ended.resolve()
      },
    })
    await ended.promise
    const before = [...fleet.members]
    await Promise.all(before.map(({ over }) => over))
    for (const { trainer } of before) await trainer.close()
    for (const [index, { standing }] of before.entries()) {
      const again = await fleet.start(index)
      expect(again.standing.memory).toEqual(standing.memory)
      const { residual, trained } = again.standing.memory
      expect(residual!.length).toBe(d)
      expect(residual!.some((value) => value !== 0)).toBe(true)
      expect([trained?.round, trained?.update.length]).toEqual(sums === 2 ? [1, d] : [undefined, undefined])
    }
    const straight = await fleetOf('straight', changes)
    try {
      await areOver(fleet.members)
      await areOver(straight.members)
      const [state, other] = [fleet, straight].map(({ members }) => members[0]!.standing.current.state)
      expect(state!.done).toBe(3 * sums)
      // Rounded by chance in each: as far apart as 2^-16 a round may bring them.
      for (const [at, value] of state!.global.entries()) expect(value).toBeCloseTo(other!.global[at]!, 3)
      const told = straight.members[0]!.log.filter(({ event }) => event === 'applied').map(
        ({ facts }) => facts['bytes'],
      )
      // Three wide numbers in eleven limbs each stand behind the coordinates; the first sum is that of the statistics.
      const wanted = sizes.map((size) => 4 * (size + 3 * 11))
      expect(told.slice(1)).toEqual([...wanted, ...wanted, ...wanted])
    } finally {
      await fleet.stop()
      await straight.stop()
    }
  }, 120_000)

  test('a site that is gone at one sum is none the worse at the next: all come to one model', async () => {
    let lost: string | undefined
    const gone = Promise.withResolvers<void>()
    const fleet: Fleet = await fleetOf(
      'gone',
      { ...changes, minimum: { sites: 3, records: 10 } },
      {
        times: PATIENT,
        onMessage: (from, to, kind) => {
          if (lost !== undefined || kind !== 'piece' || from === to) return
          if (from.standing.current.state.done !== sums) return
          lost = from.identity.id
          from.end()
          gone.resolve()
        },
      },
    )
    try {
      await gone.promise
      const index = fleet.members.findIndex(({ identity }) => identity.id === lost)
      await fleet.members[index]!.over
      await fleet.members[index]!.trainer.close()
      await fleet.start(index)
      await areOver(fleet.members)
      expect(fleet.members[index]!.standing.current.state.done).toBe(3 * sums)
    } finally {
      await fleet.stop()
    }
  }, 120_000)
})

describe('a plan that makes updates smaller', () => {
  test.each([
    [{ kind: 'random-k', share: 0 }, {}, /share/],
    [{ kind: 'random-k', share: 1 }, {}, /share/],
    [{ kind: 'low-rank', rank: 0 }, {}, /rank/],
    [{ kind: 'top-k', share: 0.1 }, {}, /compression/],
    [RANDOM_K.compression, { strategy: { name: 'scaffold' } }, /does not go with the strategy "scaffold"/],
    [RANDOM_K.compression, { strategy: { name: 'median' }, secagg: 'off' }, /does not go with the strategy "median"/],
    [RANDOM_K.compression, { privacy: { unit: 'site', epsilon: 1, delta: 1e-3, clip: 1 } }, /without being accounted/],
  ])('is refused where it cannot work: %j with %j', (compression, changes, why) => {
    expect(() => planOf({ compression, ...changes })).toThrow(why)
  })

  test('is told what it costs before anybody says yes, and refused where it saves nothing', async () => {
    const path = writeSite(folder, 's0', ROWS[0]!)
    const needs = { clock: systemClock(), engine: createOrtEngine() }
    const bytes = async (changes: object): Promise<number> =>
      (await checkData(needs, join(folder, 'check'), planOf(changes), path)).bytes
    const limbs = 4 * 3 * 11
    expect(await bytes({ model: LOW_RANK.model })).toBe(4 * 73 + limbs)
    expect(await bytes(LOW_RANK)).toBe(4 * (2 * 7 + 2 * 8 + 17) + 2 * limbs)
    expect(await bytes({ model: LOW_RANK.model, ...RANDOM_K })).toBe(4 * 22 + limbs)
    await expect(bytes({ ...LOW_RANK, model: { kind: 'linear' } })).rejects.toThrow(/makes no matrix .* smaller/)
  })
})
