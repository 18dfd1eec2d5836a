/** Adapters of a language model over sites: the same rounds as any model's, from the same base at every site. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { checkData, checkFedPlan, openTrainer, readFedData, simulateFederation } from '../../src/federated/index.ts'
import type { LocalTrainer } from '../../src/federated/index.ts'
import { readAdapter } from '../../src/models/index.ts'
import { readNpz } from '../../src/data/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { temporaryFolder } from './support/hospitals.ts'
import { engine, languagePlan, testBase, writeTexts } from './support/language.ts'
import type { TestBase } from './support/language.ts'
import { createTestMesh } from './support/sites.ts'
import type { TestSite } from './support/sites.ts'

let folder: string
let held: TestBase
const clock = systemClock()
const SENTENCES = ['the sea was calm and the old man said nothing ', 'to be or not to be that is ', 'seven swans swim ']
const PATHS: string[] = []

beforeAll(async () => {
  folder = temporaryFolder()
  held = await testBase(folder)
  for (const [index, sentence] of SENTENCES.entries()) PATHS.push(writeTexts(folder, `site-${index}`, sentence, 12))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const needs = (): Parameters<typeof openTrainer>[0] => {
  const own = join(folder, 'work')
  mkdirSync(own, { recursive: true })
  return { clock, engine, folder: own, threads: 1, base: held.base }
}

async function trainerOf(changes: object = {}, path = PATHS[0]!): Promise<LocalTrainer> {
  return openTrainer(needs(), checkFedPlan(languagePlan(held, changes), 'plan'), await readFedData(path))
}

describe('a site', () => {
  test('begins as every other, as nothing, and trains the same from the same start twice', async () => {
    const [one, other] = [await trainerOf(), await trainerOf({}, PATHS[1])]
    try {
      expect(one.initial).toEqual(other.initial)
      expect(one.records).toBeGreaterThan(20)
      const before = await one.loss(one.initial, 'test')
      const { weights, steps } = await one.train({ round: 0, start: one.initial })
      expect(steps).toBe(2)
      expect(await one.loss(weights, 'test')).toBeLessThan(before!)
      expect((await one.train({ round: 0, start: one.initial })).weights).toEqual(weights)
      expect((await one.train({ round: 1, start: one.initial })).weights).not.toEqual(weights)
    } finally {
      await one.close()
      await other.close()
    }
  })

  test('clips the gradient of each window: the sum of two is that of one and one, and no longer than two clips', async () => {
    const trainer = await trainerOf({ local: { steps: 1, batch: 1, optimizer: 'sgd', lr: 0.1 } })
    try {
      const start = trainer.initial
      const sum = (places: readonly number[], clip: number): Promise<Float64Array> =>
        trainer.clippedSum(start, Uint32Array.from(places), clip)
      const [first, second, both] = [await sum([0], 1e-3), await sum([7], 1e-3), await sum([0, 7], 1e-3)]
      const norm = (values: Float64Array): number => Math.hypot(...values)
      expect(norm(first)).toBeCloseTo(1e-3, 8)
      for (const [index, value] of both.entries()) expect(value).toBeCloseTo(first[index]! + second[index]!, 9)
      // Unclipped, it is the gradient of which sgd makes its step.
      const whole = await sum([0], 1e6)
      expect(norm(whole)).toBeGreaterThan(1e-3)
      expect(await sum([], 1)).toEqual(new Float64Array(start.length))
    } finally {
      await trainer.close()
    }
  })

  test('is measured while it trains, and neither changes the other', async () => {
    const trainer = await trainerOf()
    try {
      const start = trainer.initial
      const [weights, loss] = [(await trainer.train({ round: 0, start })).weights, await trainer.loss(start, 'test')]
      const [beside, ...losses] = await Promise.all([
        trainer.train({ round: 0, start }),
        trainer.loss(start, 'test'),
        trainer.loss(start, 'test'),
      ])
      expect(beside.weights).toEqual(weights)
      expect(losses).toEqual([loss, loss])
    } finally {
      await trainer.close()
    }
  })

  test('of whose adapter B alone is trained shares half of the parameters, and A stays as it was drawn', async () => {
    const [both, half] = [
      await trainerOf(),
      await trainerOf({ adapter: { kind: 'lora', rank: 2, targets: ['q', 'v'], train: 'b' } }),
    ]
    try {
      expect(half.shapes().every(({ name }) => name.endsWith('/b'))).toBe(true)
      expect(half.initial.length).toBeLessThan(both.initial.length)
      const { weights } = await half.train({ round: 0, start: half.initial })
      const out = join(folder, 'half')
      await half.write(weights, out)
      await both.write(both.initial, join(folder, 'first'))
      const { shape } = held.manifest
      const [made, drawn] = [await readAdapter(out, shape), await readAdapter(join(folder, 'first'), shape)]
      if (made.kind !== 'lora' || drawn.kind !== 'lora') throw new Error('no adapters')
      expect(made.value(0, 'q', 'a')).toEqual(drawn.value(0, 'q', 'a'))
      expect(made.value(0, 'q', 'b')).not.toEqual(drawn.value(0, 'q', 'b'))
    } finally {
      await both.close()
      await half.close()
    }
  })
})

describe('what a plan, its data or a site can have wrong', () => {
  test.each([
    [{ features: [{ column: 'age' }] }, 'features'],
    [{ init: 'hash' }, 'init'],
    [{ local: { steps: 1, lr: 0.1 } }, 'local.batch'],
    [{ model: { kind: 'mlp', hidden: [4] } }, 'model.kind'],
    [{ model: { kind: 'base', name: 'small', digest: 'abc', length: 12 } }, 'model.digest'],
    [{ adapter: { kind: 'lora', rank: 0 } }, 'adapter'],
  ])('%j is refused for %s', (changes, field) => {
    expect(() => checkFedPlan(languagePlan(held, changes), 'plan')).toThrow(field)
  })

  test('an adapter beside a table, and a table for a text', async () => {
    expect(() => checkFedPlan({ ...languagePlan(held), task: 'binary' }, 'plan')).toThrow('"adapter" is trained where')
    const path = join(folder, 'table.json')
    writeFileSync(path, JSON.stringify({ schema: 'weft.fed-data/1', site: 'a', kind: 'csv', path: 'a.csv' }))
    await expect(trainerOf({}, path)).rejects.toThrow('takes a text')
  })

  test('another base model of the name, or none: nothing is trained', async () => {
    const plan = checkFedPlan(
      languagePlan(held, { model: { kind: 'base', name: 'other', digest: 'a'.repeat(64), length: 12 } }),
      'plan',
    )
    await expect(checkData({ clock, engine, base: held.base }, folder, plan, PATHS[0]!)).rejects.toMatchObject({
      code: 'WEFT-FED-080',
    })
    await expect(checkData({ clock, engine }, folder, plan, PATHS[0]!)).rejects.toMatchObject({ code: 'WEFT-FED-080' })
  })

  test('fewer tokens than a window, or none of them for training', async () => {
    const path = writeTexts(folder, 'short', 'a', 1)
    await expect(trainerOf({}, path)).rejects.toMatchObject({ code: 'WEFT-DAT-015' })
    const one = writeTexts(folder, 'one', 'just one window', 1)
    await expect(trainerOf({ split: { every: 2, test: 0 } }, one)).rejects.toMatchObject({ code: 'WEFT-FED-065' })
  })
})

describe('rounds', () => {
  const simulated = async (out: string, changes: object = {}): Promise<Map<string, Float32Array>> => {
    const plan = checkFedPlan(languagePlan(held, changes), 'plan')
    await simulateFederation({ clock, engine, base: held.base }, { plan, data: PATHS, out, spec: { seed: 1 } })
    const last = readdirSync(out)
      .filter((name) => name.endsWith('.npz'))
      .sort()
      .at(-1)!
    const arrays = await readNpz(join(out, last))
    return new Map([...arrays].map(([name, { data }]) => [name, data as Float32Array]))
  }

  test('with masks make the adapter that they make without, and lower the loss', async () => {
    const [secure, clear] = [
      await simulated(join(folder, 'secure')),
      await simulated(join(folder, 'clear'), { secagg: 'off' }),
    ]
    for (const [name, values] of secure) {
      for (const [index, value] of values.entries()) expect(value).toBeCloseTo(clear.get(name)![index]!, 3)
    }
    const { rounds } = JSON.parse(readFileSync(join(folder, 'secure', 'result.json'), 'utf8')) as {
      rounds: { loss: number; sites: number }[]
    }
    expect(rounds.map(({ sites }) => sites)).toEqual([3, 3])
    expect(rounds[1]!.loss).toBeLessThan(rounds[0]!.loss)
  })

  test('under privacy of records, a window is a record', async () => {
    const privacy = { unit: 'record', epsilon: 8, delta: 1e-4, clip: 0.5, sample_rate: 0.2 }
    const made = await simulated(join(folder, 'private'), {
      privacy,
      adapter: { kind: 'lora', rank: 2, targets: ['q'], train: 'b' },
      local: { steps: 2, batch: 1, optimizer: 'sgd', lr: 0.5 },
    })
    expect([...made.values()].some((values) => values.some((value) => value !== 0))).toBe(true)
  })

  test('over a mesh export the same adapter at every site; who holds no such model does not join', async () => {
    const mesh = createTestMesh(join(folder, 'mesh'))
    try {
      const sites: TestSite[] = []
      for (const name of ['a', 'b', 'c']) sites.push(await mesh.site(name, { base: held.base }))
      const { job } = await sites[0]!.federation.create(languagePlan(held))
      const stranger = await mesh.site('d')
      await expect(stranger.federation.joinJob({ job, data: PATHS[0]! })).rejects.toMatchObject({
        code: 'WEFT-FED-080',
      })
      for (const [index, { federation }] of sites.entries()) await federation.joinJob({ job, data: PATHS[index]! })
      await sites[0]!.federation.start(job)
      await vi.waitFor(
        () => {
          for (const { federation } of sites) expect(federation.status(job).state).toBe('finished')
        },
        { timeout: 60_000, interval: 100 },
      )
      const bytes: string[] = []
      for (const [index, { federation }] of sites.entries()) {
        const out = join(folder, `exported-${index}`)
        expect((await federation.export(job, out)).files).toContain('adapter_config.json')
        bytes.push(readFileSync(join(out, 'adapter_model.safetensors')).toString('hex'))
      }
      expect(new Set(bytes).size).toBe(1)
    } finally {
      await mesh.stop()
    }
  }, 90_000)
})
