import { rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import {
  accountedEpsilon,
  checkFedPlan,
  createStrategy,
  FIRST_STATE,
  LocalPool,
  openPrivacyLedger,
  partition,
  rdpOf,
  RoundMath,
  Simulation,
  SiteTrainer,
  readFedData,
} from '../../src/federated/index.ts'
import type { FedState, SimulationSpec } from '../../src/federated/index.ts'
import type { SimulatedRound } from '../../src/federated/simulate/simulation.ts'
import { createSeeded } from '../../src/data/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]
const paths = ROWS.map((rows, index) => writeSite(folder, `s${index}`, rows))
const needs = { clock: systemClock(), engine: createOrtEngine(), folder, threads: 1 }

interface Ran {
  readonly state: FedState
  readonly pool: LocalPool
  readonly losses: readonly (number | null)[]
  readonly lines: readonly SimulatedRound[]
  readonly trainers: readonly SiteTrainer[]
}

async function run(changes: object, spec: Partial<SimulationSpec> = {}): Promise<Ran> {
  const checked = checkFedPlan(plan({ model: { kind: 'linear' }, secagg: 'off', ...changes }), 'plan')
  const trainers: SiteTrainer[] = []
  for (const path of paths) trainers.push(await SiteTrainer.open(needs, checked, await readFedData(path)))
  const pool = new LocalPool(trainers, new RoundMath(checked, 4), 1)
  const simulation = new Simulation(checked, pool, { seed: 1, ...spec })
  const lines = await simulation.run()
  return { state: simulation.state, pool, losses: lines.map(({ loss }) => loss), lines, trainers }
}

/** What the sites' updates from a state are, one by one: the worked example of each strategy is made of them. */
async function byHand(
  start: FedState,
  steps = 5,
  proximal = 0,
): Promise<{ d: Float64Array[]; n: number[]; loss: number[] }> {
  const checked = checkFedPlan(plan({ model: { kind: 'linear' }, secagg: 'off' }), 'plan')
  const [d, n, loss]: [Float64Array[], number[], number[]] = [[], [], []]
  for (const path of paths) {
    const trainer = await SiteTrainer.open(needs, checked, await readFedData(path))
    await trainer.fit(start.pooled!)
    const from = start.global
    const pull = proximal === 0 ? {} : { proximal: { mu: proximal, anchor: from } }
    const { weights } = await trainer.train({ round: 0, start: from, steps, ...pull })
    d.push(Float64Array.from(weights, (value, index) => value - from[index]!))
    n.push(trainer.records)
    loss.push((await trainer.loss(from, 'train'))!)
    await trainer.close()
  }
  return { d, n, loss }
}

async function first(): Promise<FedState> {
  const { state } = await run({ rounds: 1, local: { steps: 1, batch: 'full', lr: 1e-9 } })
  return { ...FIRST_STATE, pooled: state.pooled, global: new Float32Array(state.global.length).fill(0) }
}

const ZEROS = { init: 'zeros', rounds: 1 }

function near(actual: Float32Array, expected: Float64Array | number[]): void {
  for (const [index, value] of actual.entries()) expect(value).toBeCloseTo(expected[index]!, 5)
}

describe('one round from zeros', () => {
  test.each([
    ['fedavg', {}],
    ['fedavgm', { momentum: 0.5 }],
    ['fedadam', { server_lr: 0.1 }],
    ['fedyogi', { server_lr: 0.1 }],
    ['fedadagrad', { server_lr: 0.1 }],
  ])('of %s is what the strategy makes of the updates one by one', async (name, parameters) => {
    const start = await first()
    const { d, n } = await byHand(start)
    const strategy = createStrategy(name, parameters)
    const clients = d.map((update, index) => ({ records: n[index]!, update }))
    const { global } = strategy.aggregate({ global: new Float64Array(d[0]!.length), state: {}, clients })
    const { state } = await run({ ...ZEROS, strategy: { name, ...parameters } })
    near(state.global, global)
  })

  test('of FedNova counts each site’s steps out', async () => {
    const start = await first()
    const { d, n } = await byHand(start)
    const clients = d.map((update, index) => ({ records: n[index]!, update, steps: 5 }))
    const { global } = createStrategy('fednova').aggregate({
      global: new Float64Array(d[0]!.length),
      state: {},
      clients,
    })
    near((await run({ ...ZEROS, strategy: { name: 'fednova' } })).state.global, global)
  })

  test('of q-FedAvg weighs by losses: the sum of F^q D over that of q F^(q-1) |D|^2 / lr + F^q', async () => {
    const start = await first()
    const { d, loss } = await byHand(start)
    const norm = (v: Float64Array): number => Math.hypot(...v)
    const divisor = d.reduce((sum, one, k) => sum + 2 * loss[k]! * (norm(one) ** 2 / 0.5) + loss[k]! ** 2, 0)
    const expected = [...d[0]!.keys()].map(
      (at) => d.reduce((sum, one, k) => sum + loss[k]! ** 2 * one[at]!, 0) / divisor,
    )
    near((await run({ ...ZEROS, strategy: { name: 'qfedavg', q: 2 } })).state.global, expected)
  })

  test('of FedProx pulls each step back to the global model', async () => {
    const start = await first()
    const { d, n } = await byHand(start, 5, 1)
    const total = n.reduce((sum, count) => sum + count, 0)
    const expected = [...d[0]!.keys()].map((at) => d.reduce((sum, one, k) => sum + (n[k]! * one[at]!) / total, 0))
    const local = { steps: 5, batch: 'full', lr: 0.5, proximal: 1 }
    near((await run({ ...ZEROS, local, strategy: { name: 'fedprox' } })).state.global, expected)
    const free = await byHand(start, 5)
    expect(Math.hypot(...d[0]!)).toBeLessThan(Math.hypot(...free.d[0]!))
  })
})

describe('what a site keeps', () => {
  test('SCAFFOLD: c is the mean of all c_k, and a second round uses them', async () => {
    const one = await run({ ...ZEROS, strategy: { name: 'scaffold' } })
    const start = await first()
    const { d } = await byHand(start)
    near(
      one.state.global,
      [...d[0]!.keys()].map((at) => d.reduce((sum, each) => sum + each[at]! / 4, 0)),
    )
    const c = [...d[0]!.keys()].map((at) => d.reduce((sum, each) => sum - each[at]! / (5 * 0.5) / 4, 0))
    near(Float32Array.from(one.state.strategy['c']!), c)
    const two = await run({ init: 'zeros', rounds: 2, strategy: { name: 'scaffold' } })
    const plain = await run({ init: 'zeros', rounds: 2, strategy: { name: 'fedavg', weights: 'uniform' } })
    expect([...two.state.global]).not.toEqual([...plain.state.global])
  })

  test('personal parameters are not among those that are shared', async () => {
    const whole = await run(ZEROS)
    const shared = await run({ ...ZEROS, personal: ['bias'] })
    expect(shared.state.global.length).toBe(whole.state.global.length - 1)
    const [a, b] = [await shared.pool.weights(shared.state, 0), await shared.pool.weights(shared.state, 3)]
    expect(a.filter((value, index) => value !== b[index])).toHaveLength(1)
  })

  test('Ditto: the model of a site lies between its own and the global one', async () => {
    const plainly = await run({ ...ZEROS, rounds: 3 })
    const ditto = await run({ ...ZEROS, rounds: 3, ditto: { lambda: 0.5 } })
    near(ditto.state.global, Float64Array.from(plainly.state.global))
    expect(await ditto.pool.metrics(ditto.state, 0)).not.toEqual(await plainly.pool.metrics(plainly.state, 0))
  })
})

describe('a simulation', () => {
  test('gives the same integers with masks and without', async () => {
    const secagg = { f: 16, bits: 32, c: 8 }
    const [masked, plainly] = [await run({ secagg }, { masks: true }), await run({ secagg }, { masks: false })]
    expect([...masked.state.global]).toEqual([...plainly.state.global])
    expect(masked.losses).toHaveLength(3)
  })

  test('repeats itself from its seed, stragglers under fedbuff and dropouts with it', async () => {
    const spec = { stragglers: 0.4, dropouts: 0.2, seed: 4 }
    const changes = { rounds: 6, strategy: { name: 'fedbuff' }, minimum: { sites: 1 } }
    const [one, again] = [await run(changes, spec), await run(changes, spec)]
    expect([...one.state.global]).toEqual([...again.state.global])
  })

  test('of cohorts says how old its updates were, and adds the same integers with masks and without', async () => {
    const spec = { stragglers: 0.5, seed: 4 }
    const changes = {
      rounds: 6,
      strategy: { name: 'fedbuff' },
      buffer: { cohort: 3 },
      secagg: { f: 16, bits: 32, c: 8 },
      minimum: { sites: 3, records: 1 },
    }
    const [masked, plainly] = [
      await run(changes, { ...spec, masks: true }),
      await run(changes, { ...spec, masks: false }),
    ]
    expect([...masked.state.global]).toEqual([...plainly.state.global])
    expect(masked.lines.every(({ sites }) => sites >= 3)).toBe(true)
    expect(Math.max(...masked.lines.map(({ staleness = 0 }) => staleness))).toBeGreaterThan(0)
  })

  test('shares labels out with Dirichlet skew, each row once', () => {
    const labels = Array.from({ length: 400 }, (_, place) => place % 2)
    const parts = partition(labels, 10, 0.1, createSeeded(1, 'test'))
    expect(parts.flatMap((part) => [...part]).sort((a, b) => a - b)).toEqual([...labels.keys()])
    const shares = parts.map((part) => [...part].filter((place) => labels[place] === 1).length / part.length)
    expect(Math.max(...shares) - Math.min(...shares)).toBeGreaterThan(0.5)
  })
})

test('the ledger refuses the round that would pass the cap, over jobs', () => {
  const ledger = openPrivacyLedger(
    { signer: { sign: () => new Uint8Array(64), verify: () => true }, wall: () => 1e12 },
    { path: `${folder}/ledger.db`, anchor: `${folder}/ledger.anchor` },
  )
  const checked = checkFedPlan(
    plan({ privacy: { unit: 'record', epsilon: 1, delta: 1e-5, clip: 1, sample_rate: 0.2 } }),
    'plan',
  )
  const math = new RoundMath(checked, 4)
  const state = { ...FIRST_STATE, pooled: { records: 148, columns: [] }, global: new Float32Array(30) }
  const noise = math.noise(state)!
  ledger.setCap({ data: 'a', unit: 'record', epsilon: 1, delta: 1e-5 })
  const charge = (job: string, round: number): number =>
    ledger.charge({ data: 'a', unit: 'record', job, round, event: noise.event }).epsilon
  // 3 rounds of 5 steps cost what the plan says, by Renyi divergences; the loss itself leaves room for a few, over jobs.
  for (let step = 1; step <= 15; step++) expect(charge('one', step)).toBeLessThanOrEqual(1)
  const { events } = ledger.budgets()[0]!
  expect(rdpOf(events, 1e-5)).toBeGreaterThan(0.99)
  let more = 0
  while (accountedEpsilon([...events, { ...noise.event, steps: more + 1 }], 1e-5).epsilon <= 1) more++
  expect(more).toBeLessThan(10)
  for (let step = 1; step <= more; step++) charge('another', step)
  expect(() => charge('other', 1)).toThrow(expect.objectContaining({ code: 'WEFT-FED-040' }) as Error)
})
