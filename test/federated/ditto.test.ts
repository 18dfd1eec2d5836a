/** Ditto's models by hand: plain gradient descent in float64, each step held to the global model of its round. */
import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { areOver, createFleet } from './support/fleet.ts'
import { hospitalRows, plan, temporaryFolder } from './support/hospitals.ts'

const ROWS = [hospitalRows(1, 60), hospitalRows(2, 45, 4), hospitalRows(3, 30, -5), hospitalRows(4, 50, 8)]
const [ROUNDS, STEPS, RATE, LAMBDA] = [3, 5, 0.5, 0.7]
const TIMES = {
  coordinator: { stageMs: 20_000, graceMs: 20_000, beatMs: 100 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 100 },
}

interface Example {
  readonly x: readonly number[]
  readonly y: number
}

/** Inputs as the plan has them: age and cholesterol standardised, a 0/1 for each kind of pain, the pulse by 100. */
function examples(): readonly (readonly Example[])[] {
  const sites = ROWS.map((rows) => rows.filter((_, row) => row % 5 !== 4).map((row) => row.split(',').map(Number)))
  const standard = (place: number): ((value: number) => number) => {
    const known = sites
      .flat()
      .flatMap((row) => (Number.isNaN(row[place]!) || (place === 1 && row[place] === 0) ? [] : [row[place]!]))
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length
    const sd = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length)
    return (value) => (Number.isNaN(value) ? 0 : (value - mean) / sd)
  }
  const [age, chol] = [standard(0), standard(1)]
  return sites.map((rows) =>
    rows.map((row) => ({
      x: [age(row[0]!), chol(row[1]!), ...[1, 2, 3, 4].map((pain) => (row[2] === pain ? 1 : 0)), row[3]! / 100],
      y: row[4]! > 0 ? 1 : 0,
    })),
  )
}

/** Weights, then the bias: after the steps of one round from `start`. */
function descent(
  site: readonly Example[],
  start: readonly number[],
  lambda: number,
  anchor: readonly number[],
): number[] {
  let v = [...start]
  for (let step = 0; step < STEPS; step++) {
    const gradient = v.map(() => 0)
    for (const { x, y } of site) {
      const inputs = [...x, 1]
      const logit = inputs.reduce((sum, value, at) => sum + value * v[at]!, 0)
      const error = 1 / (1 + Math.exp(-logit)) - y
      for (const [at, value] of inputs.entries()) gradient[at]! += (error * value) / site.length
    }
    v = v.map((value, at) => value - RATE * (gradient[at]! + lambda * (value - anchor[at]!)))
  }
  return v
}

test('the model that each site keeps, and the one of all, are those of the paper to six digits', async () => {
  const sites = examples()
  const total = sites.flat().length
  let global = Array.from({ length: 8 }, () => 0)
  let own = sites.map(() => global)
  for (let round = 0; round < ROUNDS; round++) {
    const anchor = global
    own = own.map((v, at) => descent(sites[at]!, v, LAMBDA, anchor))
    const updates = sites.map((site) => descent(site, anchor, 0, anchor))
    global = anchor.map((_, at) => updates.reduce((sum, w, k) => sum + (sites[k]!.length / total) * w[at]!, 0))
  }
  const folder = temporaryFolder()
  const changes = {
    model: { kind: 'linear' },
    init: 'zeros',
    rounds: ROUNDS,
    local: { steps: STEPS, batch: 'full', optimizer: 'sgd', lr: RATE },
    ditto: { lambda: LAMBDA },
    secagg: 'off',
    minimum: { sites: ROWS.length, records: 10 },
  }
  const fleet = await createFleet({ folder, plan: plan(changes), rows: ROWS, times: TIMES })
  try {
    await areOver(fleet.members)
    for (const [at, { standing }] of fleet.members.entries()) {
      const { state } = standing.current
      for (const [index, value] of state.global.entries()) expect(value).toBeCloseTo(global[index]!, 6)
      const kept = [...standing.memory.ditto!]
      for (const [index, value] of kept.entries()) expect(value).toBeCloseTo(own[at]![index]!, 6)
      // It is neither the common model nor what the site would have learnt alone.
      expect(Math.hypot(...kept.map((value, index) => value - global[index]!))).toBeGreaterThan(0.01)
    }
  } finally {
    await fleet.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
