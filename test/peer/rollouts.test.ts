/** Rounds on their way to who asks: real adapters of a small model, real files; only the federation's clock is the test's. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { checkAnalysisPlan, checkFedPlan, openTrainer, readFedData } from '../../src/federated/index.ts'
import type { FedPlan, LocalTrainer, StandingModel } from '../../src/federated/index.ts'
import { saveManifest } from '../../src/models/index.ts'
import { Adapters } from '../../src/peer/adapters.ts'
import { RolloutBook } from '../../src/peer/rollouts/book.ts'
import { isCanary } from '../../src/peer/rollouts/decide.ts'
import { outletOf, WHOLE_MODELS } from '../../src/peer/rollouts/outlet.ts'
import type { OutletNeeds } from '../../src/peer/rollouts/outlet.ts'
import { Rollouts } from '../../src/peer/rollouts/rollouts.ts'
import type { RolloutRecord } from '../../src/peer/rollouts/record.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { AuditEvent } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { analysisPlan } from '../federated/support/analysis.ts'
import { temporaryFolder } from '../federated/support/hospitals.ts'
import { engine, languagePlan, testBase, writeTexts } from '../federated/support/language.ts'
import type { TestBase } from '../federated/support/language.ts'

const JOB = '0123456789abcdef'
let folder: string
let held: TestBase
let plan: FedPlan
let trainer: LocalTrainer
let good: readonly Float32Array[]

beforeAll(async () => {
  folder = temporaryFolder()
  held = await testBase(folder)
  plan = checkFedPlan(languagePlan(held), 'plan')
  const work = join(folder, 'work')
  mkdirSync(work)
  const data = writeTexts(folder, 'a', 'the sea was calm and the old man said nothing ', 12)
  trainer = await openTrainer(
    { clock: systemClock(), engine, folder: work, threads: 1, base: held.base },
    plan,
    await readFedData(data),
  )
  const first = await trainer.train({ round: 0, start: trainer.initial, steps: 3 })
  const second = await trainer.train({ round: 1, start: first.weights, steps: 3 })
  good = [first.weights, second.weights]
})
afterAll(async () => {
  await trainer.close()
  rmSync(folder, { recursive: true, force: true })
})

let home: string
let round: { number: number; weights: Float32Array; isOver?: boolean } | undefined
let notes: AuditEvent[]
let counts: Record<string, number>
let look: () => void
const kept = new Map<number, Float32Array>()

beforeEach(async () => {
  home = join(folder, `home-${Math.random()}`)
  round = undefined
  notes = []
  counts = {}
  kept.clear()
  mkdirSync(join(home, 'partitions'), { recursive: true })
  await saveManifest(join(home, 'partitions'), held.manifest)
})

/** Of this home, which has the base model and nothing else. */
const LIBRARY: OutletNeeds['library'] = {
  byDigest: () => held.manifest,
  list: () => [held.manifest],
  import: () => Promise.reject(new Error('an adapter is no model')),
  remove: () => Promise.reject(new Error('an adapter is no model')),
}

interface Opened {
  readonly rollouts: Rollouts
  readonly adapters: Adapters
  readonly looked: () => Promise<void>
  /** What was logged. */
  readonly errors: unknown[]
  /** Milliseconds to each next look. */
  readonly pauses: number[]
}

async function opened(job = JOB): Promise<Opened> {
  const damaged: string[] = []
  const [errors, pauses]: [unknown[], number[]] = [[], []]
  const book = await RolloutBook.open(join(home, 'state', 'rollouts'), (file) => damaged.push(file))
  const after = (milliseconds: number, action: () => void): (() => void) => {
    pauses.push(milliseconds)
    look = action
    return () => undefined
  }
  const clock = { ...systemClock(), after }
  const rollouts = new Rollouts({
    clock,
    book,
    outlet: outletOf(() => ({ home, library: LIBRARY })),
    note: (event) => void notes.push(event),
    count: (counter) => void (counts[counter] = (counts[counter] ?? 0) + 1),
    emit: () => undefined,
    log: ({ err }) => void errors.push(err),
  })
  rollouts.follow({
    plan: () => ({ job, plan }),
    model: () => {
      if (round === undefined) return Promise.resolve(undefined)
      const { number, weights, isOver = false } = round
      kept.set(number, weights)
      const weightsOf = (asked: number): Promise<Float32Array | undefined> => Promise.resolve(kept.get(asked))
      return Promise.resolve({ job, plan, round: number, isOver, trainer, weights, weightsOf } satisfies StandingModel)
    },
  })
  const adapters = new Adapters(home, await createBlobStore({ directory: join(home, 'store') }), rollouts)
  const looked = async (): Promise<void> => {
    const before = look
    before()
    await vi.waitFor(() => expect(look).not.toBe(before), { timeout: 20_000, interval: 5 })
    expect(errors).toEqual([])
  }
  return { rollouts, adapters, looked, errors, pauses }
}

const status = (rollouts: Rollouts): RolloutRecord => rollouts.status(JOB) as RolloutRecord
const MODEL = (): string => held.manifest.model
const folders = (): string[] => readdirSync(join(home, 'adapters', MODEL())).sort()

/** Requests that end; how many of them were given what is tried. */
async function asked(rollouts: Rollouts, count: number, isFailed = false, from = 0): Promise<number> {
  let tried = 0
  for (let at = from; at < from + count; at++) {
    const picked = rollouts.pick(MODEL(), 'clinic@live', `r${at}`)!
    if (picked.arm === 'candidate') tried++
    picked.ended(isFailed && picked.arm === 'candidate')
    await rollouts.settled()
  }
  return tried
}

const BEGIN = { job: JOB, alias: 'clinic@live', canary: 0.5, requests: 4 }

describe('a round', () => {
  test('that is better on held-out text is tried by a share of the requests, then serves all; so does the second', async () => {
    const { rollouts, adapters, looked } = await opened()
    await rollouts.begin(BEGIN)
    await looked()
    expect(status(rollouts).candidate).toBeNull()
    expect((await adapters.take(held.manifest, `${MODEL()}:clinic@live`, 'r0'))!.adapter).toBeUndefined()
    for (const [index, weights] of good.entries()) {
      round = { number: index + 1, weights }
      await looked()
      const { candidate, live } = status(rollouts)
      expect(candidate).toMatchObject({ round: index + 1, tried: { served: 0, failed: 0 } })
      expect(live?.round ?? 0).toBe(index)
      // Until it is promoted most get what serves, and the same request always the same.
      const arms = Array.from({ length: 200 }, (_, at) => rollouts.pick(MODEL(), 'clinic@live', `q${at}`)!)
      const share = arms.filter(({ arm }) => arm === 'candidate').length / arms.length
      expect(share).toBeGreaterThan(0.35)
      expect(share).toBeLessThan(0.65)
      expect(arms.map(({ name }) => name)).toEqual(
        arms.map((_, at) => rollouts.pick(MODEL(), 'clinic@live', `q${at}`)!.name),
      )
      await asked(rollouts, 40)
      expect(status(rollouts)).toMatchObject({ candidate: null, live: { round: index + 1, job: JOB } })
    }
    expect(status(rollouts).live!.loss).toBeLessThan(status(rollouts).previous!.loss!)
    expect(folders()).toEqual(['clinic-0123-r1', 'clinic-0123-r2'])
    expect(notes.map(({ what }) => what)).toEqual([
      'rollout.begin',
      'rollout.candidate',
      'rollout.promote',
      'rollout.candidate',
      'rollout.promote',
    ])
    expect(counts).toMatchObject({ rollout_candidates: 2, rollouts_promoted: 2 })
    const taken = await adapters.take(held.manifest, `${MODEL()}:clinic@live`, 'r1')
    expect(taken!.adapter).toEqual(await adapters.sealed(held.manifest, 'clinic-0123-r2'))
  })

  test('that is worse on held-out text reaches nobody, is not tried again, and the old one serves; the next one may', async () => {
    const { rollouts, looked } = await opened()
    await rollouts.begin({ ...BEGIN, requests: 0 })
    round = { number: 1, weights: good[0]! }
    await looked()
    expect(status(rollouts).live?.round).toBe(1)
    round = { number: 2, weights: trainer.initial.map((value, at) => value - 4 * (good[0]![at]! - value)) }
    await looked()
    await looked()
    expect(status(rollouts)).toMatchObject({ live: { round: 1 }, candidate: null, seen: 2 })
    expect(folders()).toEqual(['clinic-0123-r1'])
    expect(counts).toMatchObject({ rollouts_back: 1, rollouts_promoted: 1, rollout_candidates: 2 })
    expect(notes.at(-1)).toMatchObject({ what: 'rollout.back', result: 'failed', facts: { round: 2, serves: 1 } })
    round = { number: 3, weights: good[1]! }
    await looked()
    expect(status(rollouts)).toMatchObject({ live: { round: 3 }, previous: { round: 1 } })
  })

  test('whose answers fail is taken back as soon as that is certain, and is gone; the old one has served all the while', async () => {
    const { rollouts, looked } = await opened()
    await rollouts.begin({ ...BEGIN, requests: 0 })
    round = { number: 1, weights: good[0]! }
    await looked()
    await rollouts.begin({ ...BEGIN, requests: 10, tolerance: 0.1 })
    round = { number: 2, weights: good[1]! }
    await looked()
    expect(status(rollouts).candidate?.round).toBe(2)
    const tried = await asked(rollouts, 40, true)
    expect(tried).toBe(2)
    expect(status(rollouts)).toMatchObject({ candidate: null, live: { round: 1 } })
    expect(status(rollouts).steps.at(-1)!.why).toMatch(/2 of 2 requests failed, 0 of \d+ beside it/)
    expect(folders()).toEqual(['clinic-0123-r1'])
    expect(counts).toMatchObject({ canary_failures: 2, rollouts_back: 1 })
  })

  test('that nobody has asked for makes way for the next one; one with requests does not', async () => {
    const { rollouts, looked } = await opened()
    await rollouts.begin(BEGIN)
    round = { number: 1, weights: good[0]! }
    await looked()
    expect(status(rollouts).candidate).toMatchObject({ round: 1 })
    round = { number: 2, weights: good[1]! }
    await looked()
    expect(status(rollouts)).toMatchObject({ candidate: { round: 2 }, live: null })
    expect(folders()).toEqual(['clinic-0123-r2'])
    expect(status(rollouts).steps.map(({ step, round: of }) => [step, of])).toEqual([
      ['begin', null],
      ['candidate', 1],
      ['back', 1],
      ['candidate', 2],
    ])
    await asked(rollouts, 1)
    round = { number: 3, weights: good[1]! }
    await looked()
    expect(status(rollouts).candidate).toMatchObject({ round: 2 })
    await asked(rollouts, 40, false, 1)
    expect(status(rollouts).live).toMatchObject({ round: 2 })
    await looked()
    expect(status(rollouts).seen).toBe(3)
  })

  test('goes on being tried where it was after a restart, and what serves serves', async () => {
    const one = await opened()
    await one.rollouts.begin({ ...BEGIN, requests: 8 })
    round = { number: 1, weights: good[0]! }
    await one.looked()
    const tried = await asked(one.rollouts, 8)
    expect(tried).toBeGreaterThan(0)
    expect(tried).toBeLessThan(8)
    await one.rollouts.stop()
    round = undefined
    const two = await opened()
    expect(status(two.rollouts).candidate!.tried.served).toBe(tried)
    await asked(two.rollouts, 40, false, 8)
    expect(status(two.rollouts).live?.round).toBe(1)
    await two.rollouts.stop()
    const three = await opened()
    expect(three.rollouts.pick(MODEL(), 'clinic@live', 'r1')!.name).toBe('clinic-0123-r1')
  })

  test('whose file is damaged has failed, and the request that was to try it is answered by what serves', async () => {
    const { rollouts, adapters, looked } = await opened()
    await rollouts.begin({ ...BEGIN, canary: 1, requests: 0 })
    round = { number: 1, weights: good[0]! }
    await looked()
    await rollouts.begin({ ...BEGIN, canary: 1, requests: 1, tolerance: 0 })
    round = { number: 2, weights: good[1]! }
    await looked()
    writeFileSync(join(home, 'adapters', MODEL(), 'clinic-0123-r2', 'adapter_model.safetensors'), 'none')
    const taken = await adapters.take(held.manifest, `${MODEL()}:clinic@live`, 'r1')
    expect(taken!.adapter).toEqual(await adapters.sealed(held.manifest, 'clinic-0123-r1'))
    await rollouts.settled()
    expect(status(rollouts)).toMatchObject({ candidate: null, live: { round: 1 } })
  })

  test('of each k-th and of the last is tried, no other', async () => {
    const { rollouts, looked } = await opened()
    await rollouts.begin({ ...BEGIN, every: 3, requests: 0, margin: 10 })
    const served = []
    for (let number = 1; number <= 7; number++) {
      round = { number, weights: good[0]!, isOver: number === 7 }
      await looked()
      served.push(status(rollouts).live?.round ?? 0)
    }
    expect(served).toEqual([0, 0, 3, 3, 3, 6, 7])
  })
})

describe('by command', () => {
  test('a round is promoted, and taken back to the one before, and to the model as it was; then it ends', async () => {
    const { rollouts, looked } = await opened()
    await rollouts.begin(BEGIN)
    await expect(rollouts.promote(JOB)).rejects.toMatchObject({ code: 'WEFT-FED-082' })
    await expect(rollouts.back(JOB)).rejects.toMatchObject({ code: 'WEFT-FED-082' })
    for (const [index, weights] of good.entries()) {
      round = { number: index + 1, weights }
      await looked()
      expect(await rollouts.promote(JOB)).toMatchObject({ live: { round: index + 1 } })
    }
    expect(await rollouts.back(JOB)).toMatchObject({ live: { round: 1 }, previous: null })
    await looked()
    expect(status(rollouts)).toMatchObject({ live: { round: 1 }, candidate: null })
    expect(await rollouts.back(JOB)).toMatchObject({ live: null })
    expect(rollouts.pick(MODEL(), 'clinic@live', 'r1')!.name).toBeNull()
    round = { number: 3, weights: good[1]! }
    await looked()
    expect(await rollouts.end(JOB)).toMatchObject({ candidate: null, ended: true })
    round = { number: 4, weights: good[1]! }
    await looked()
    expect(status(rollouts).candidate).toBeNull()
    expect(folders()).toEqual([])
  })

  test('a name belongs to one job until that ends; the next job takes it over, and what serves goes on', async () => {
    const one = await opened()
    await one.rollouts.begin({ ...BEGIN, requests: 0 })
    round = { number: 1, weights: good[0]! }
    await one.looked()
    const other = 'fedcba9876543210'
    const two = await opened(other)
    await expect(two.rollouts.begin({ ...BEGIN, job: other })).rejects.toThrow('has not ended')
    await one.rollouts.end(JOB)
    const three = await opened(other)
    expect(await three.rollouts.begin({ ...BEGIN, job: other })).toMatchObject({
      live: { round: 1, job: JOB },
      seen: 0,
    })
    await three.looked()
    expect(three.rollouts.status(other)).toMatchObject({ candidate: { job: other, round: 1 } })
  })

  test.each(['clinic', 'Clinic@live', '@live', '../x@live', 'a@b@c'])('the name %j is refused', async (alias) => {
    const { rollouts } = await opened()
    await expect(rollouts.begin({ ...BEGIN, alias })).rejects.toMatchObject({ code: 'WEFT-FED-082' })
  })

  test('a plan that makes no model, and a job that was never begun, are refused', async () => {
    const { rollouts } = await opened()
    expect(() => rollouts.status(JOB)).toThrow('not rolled out')
    const outlet = outletOf(() => ({ home }))
    const analysis = checkAnalysisPlan(analysisPlan([{ kind: 'count' }]), 'look')
    await expect(outlet.modelOf(analysis)).rejects.toMatchObject({ code: 'WEFT-FED-082' })
    expect(await outlet.modelOf({ ...plan, task: 'binary' })).toBe(WHOLE_MODELS)
  })

  test('a record that somebody damaged is named and serves nothing; the others do', async () => {
    const { rollouts } = await opened()
    await rollouts.begin(BEGIN)
    const [file] = readdirSync(join(home, 'state', 'rollouts'))
    const path = join(home, 'state', 'rollouts', file!)
    const text = readFileSync(path, 'utf8')
    writeFileSync(
      join(home, 'state', 'rollouts', 'bad.json'),
      text.replace('clinic@live', '../../x').replace('seen', 'sen'),
    )
    const named: string[] = []
    const book = await RolloutBook.open(join(home, 'state', 'rollouts'), (name) => named.push(name))
    expect(named).toEqual(['bad.json'])
    expect(book.list()).toHaveLength(1)
  })
})

test('who gets a candidate follows from the request, and another candidate is tried on others', () => {
  const given = (name: string): boolean[] =>
    Array.from({ length: 300 }, (_, at) => isCanary('a@live', name, `r${at}`, 0.2))
  expect(given('one')).toEqual(given('one'))
  expect(given('one')).not.toEqual(given('two'))
  expect(given('one').filter(Boolean).length).toBeGreaterThan(35)
  expect(given('one').filter(Boolean).length).toBeLessThan(90)
})

test('a round that cannot be put where it is asked for is tried again, and not each second', async () => {
  const { rollouts, looked, errors, pauses } = await opened()
  await rollouts.begin({ job: JOB, alias: 'clinic@live', requests: 0 })
  rmSync(join(home, 'partitions'), { recursive: true })
  round = { number: 1, weights: good[0]! }
  await expect(looked()).rejects.toThrow()
  expect(errors).toEqual([expect.objectContaining({ code: 'WEFT-MOD-050' })])
  expect(status(rollouts).live).toBeNull()
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(60 * pauses[0]!)
  errors.length = 0
  mkdirSync(join(home, 'partitions'))
  await saveManifest(join(home, 'partitions'), held.manifest)
  await looked()
  expect(status(rollouts).live?.round).toBe(1)
  expect(pauses.at(-1)).toBe(pauses[0])
})
