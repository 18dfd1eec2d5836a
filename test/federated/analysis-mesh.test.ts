import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { FederationNeeds, JobResults } from '../../src/federated/index.ts'
import { analyse, analysisPlan, linesOf, PATIENT_COLUMNS, patients, writePatients } from './support/analysis.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

const SITES = [patients(1, 50), patients(2, 40, 5), patients(3, 30, -4)]
const PRIVACY = { unit: 'record', epsilon: 2, delta: 1e-5 }
const STATISTICS = [
  { kind: 'count' },
  { kind: 'moments', column: 'age', range: [0, 120] },
  { kind: 'quantiles', column: 'chol', range: [100, 612], bins: 8, at: [0.5], rounds: 2 },
  { kind: 'kaplan-meier', time: 'time', event: { column: 'event', equals: 1 }, range: [0, 40], bins: 8 },
  { kind: 'auc', score: 'score', target: { column: 'num', above: 0 }, bins: 10 },
  { kind: 'drift', name: 'labels', column: 'num', values: [0, 1, 2, 3] },
]

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

const tables = (): string[] => SITES.map((list, index) => writePatients(folder, `site-${index}`, linesOf(list)))

async function sitesOf(changes: Partial<FederationNeeds> = {}): Promise<TestSite[]> {
  return [await mesh.site('a', changes), await mesh.site('b'), await mesh.site('c')]
}

/** Created, joined by all and started; the id of the job. */
async function begun(
  sites: readonly TestSite[],
  plan: object,
  paths: readonly string[],
  cap?: number,
): Promise<string> {
  const { job } = await sites[0]!.federation.create(plan)
  for (const [index, { federation }] of sites.entries()) {
    await federation.joinJob({ job, data: paths[index]!, ...(cap === undefined ? {} : { cap }) })
  }
  while (sites[0]!.federation.status(job).joined.length < sites.length) await sleep(10)
  await sites[0]!.federation.start(job)
  return job
}

async function over(sites: readonly TestSite[], job: string): Promise<JobResults[]> {
  while (!sites.every(({ federation }) => federation.status(job).state === 'finished')) await sleep(20)
  return Promise.all(sites.map(({ federation }) => federation.results(job)))
}

function budgets({ federation }: TestSite): { epsilon: number; unit: string; events: { steps: number }[] }[] {
  return (federation.budget() as { entries: { epsilon: number; unit: string; events: { steps: number }[] }[] }).entries
}

describe('an analysis over three sites', () => {
  test('finds what all their records together say, the same at each; each learns its own distance', async () => {
    const sites = await sitesOf()
    const paths = tables()
    const plan = analysisPlan(STATISTICS)
    const job = await begun(sites, plan, paths)
    const found = await over(sites, job)
    const { result } = await analyse(plan, paths)
    for (const [index, { own, job: id, plan: hash, ...all }] of found.entries()) {
      expect(all).toEqual(result)
      expect({ id, hash }).toEqual({ id: job, hash: sites[0]!.federation.status(job).plan_hash })
      expect(own!.site).toBe(`site-${index}`)
      expect(own!.distances['labels']).toBeGreaterThan(0)
    }
    expect(new Set(found.map(({ own }) => own!.distances['labels'])).size).toBe(3)
    expect(sites[0]!.federation.status(job)).toMatchObject({ round: 2, rounds: 2, approved: true })
    const { files } = await sites[1]!.federation.export(job, join(folder, 'out'))
    expect(files.filter((name) => !name.startsWith('signed/'))).toEqual(['analysis.json'])
    const written = JSON.parse(readFileSync(join(folder, 'out', 'analysis.json'), 'utf8')) as JobResults
    const { own: _, ...shared } = found[1]!
    // What a site alone knows is in no file that is passed on.
    expect(written).toEqual(shared)
    // Nothing was charged: there is no noise.
    expect(budgets(sites[0]!)).toEqual([])
  }, 60_000)

  test('is charged at each site before it answers, again by a second run, and refused beyond the cap', async () => {
    const sites = await sitesOf()
    const paths = tables()
    const plan = analysisPlan(STATISTICS, { privacy: PRIVACY })
    const first = await over(sites, await begun(sites, plan, paths, 3.2))
    for (const { privacy } of first) {
      expect(privacy).toMatchObject({ unit: 'record', delta: 1e-5, q: 1, T: 2 })
      expect(privacy!.epsilon).toBeLessThanOrEqual(2)
    }
    expect(new Set(first.map(({ statistics }) => JSON.stringify(statistics))).size).toBe(1)
    for (const site of sites) {
      const [budget] = budgets(site)
      expect(budget).toMatchObject({ unit: 'record' })
      // The ledger goes by the tighter of two bounds, the result by the one that sized its noise.
      expect(budget!.epsilon).toBeLessThanOrEqual(first[0]!.privacy!.epsilon)
      expect(budget!.epsilon).toBeGreaterThan(0.85 * first[0]!.privacy!.epsilon)
      expect(budget!.events.reduce((sum, { steps }) => sum + steps, 0)).toBe(2)
    }
    // The same plan again is another job, and costs again; other noise was drawn for it.
    const again = await over(sites, await begun(sites, plan, paths))
    expect(again[0]!.statistics[0]!.groups).not.toEqual(first[0]!.statistics[0]!.groups)
    for (const site of sites) {
      expect(budgets(site)[0]!.events.reduce((sum, { steps }) => sum + steps, 0)).toBe(4)
      expect(budgets(site)[0]!.epsilon).toBeGreaterThan(2.5)
      expect(budgets(site)[0]!.epsilon).toBeLessThanOrEqual(3.2)
    }
    const third = await begun(sites, plan, paths)
    const refused = (): boolean =>
      sites.some(({ federation }) => federation.status(third).error?.code === 'WEFT-FED-040')
    while (!refused()) await sleep(20)
    for (const site of sites) expect(budgets(site)[0]!.epsilon).toBeLessThanOrEqual(3.2)
    await expect(sites[0]!.federation.results(third)).rejects.toMatchObject({ code: 'WEFT-FED-063' })
  }, 60_000)

  test('asks the policy of a site in its own words', async () => {
    const asked: object[] = []
    const [site] = await sitesOf({ permit: (part) => void asked.push(part) })
    const { job } = await site!.federation.create(analysisPlan(STATISTICS, { privacy: PRIVACY }))
    await site!.federation.joinJob({ job, data: tables()[0]! })
    expect(asked).toEqual([
      {
        when: 'join',
        peers: [site!.identity.id],
        plan: 'look',
        data: 'site-0',
        masked: true,
        epsilon: 2,
        delta: 1e-5,
        sites: 3,
        records: 50,
      },
    ])
  })
})

describe('an analysis is refused', () => {
  const joined = async (statistic: object, path: string, changes: object = {}): Promise<unknown> => {
    const site = await mesh.site(`s${Math.random()}`)
    const { job } = await site.federation.create(analysisPlan([statistic], changes))
    return site.federation.joinJob({ job, data: path })
  }
  const lines = (): string[] => linesOf(patients(1, 20))
  const AUC = { kind: 'auc', score: 'score', target: { column: 'num', above: 0 }, bins: 10 }

  test('where a column, a label, or a number is not there, and the message says where', async () => {
    const good = lines()
    const path = writePatients(folder, 'good', good)
    await expect(joined({ kind: 'moments', column: 'agee' }, path)).rejects.toMatchObject({ code: 'WEFT-DAT-012' })
    const unlabelled = PATIENT_COLUMNS.map((name) => (name === 'num' ? 'outcome' : name))
    const without = writePatients(folder, 'without', good, unlabelled)
    await expect(joined(AUC, without)).rejects.toMatchObject({ code: 'WEFT-DAT-012' })
    const missing = writePatients(folder, 'missing', [...good, '50,200,1,3,1,0.5,?'])
    await expect(joined(AUC, missing)).rejects.toMatchObject({
      code: 'WEFT-DAT-013',
      message: expect.stringContaining('row 20 (line 21), column "num"') as string,
    })
    for (const cell of ['NaN', 'Infinity', '0x1f', '1e999', 'x']) {
      const odd = writePatients(folder, 'odd', [...good, `${cell},200,1,3,1,0.5,0`])
      await expect(joined({ kind: 'moments', column: 'age' }, odd)).rejects.toMatchObject({
        code: 'WEFT-DAT-013',
        message: expect.stringContaining('column "age"') as string,
      })
    }
    const early = writePatients(folder, 'early', [...good, '50,200,1,-3,1,0.5,1'])
    const survival = { ...STATISTICS[3] }
    await expect(joined(survival, early)).rejects.toMatchObject({ code: 'WEFT-DAT-013' })
  })

  test('where a site has no record, or more than the plan takes', async () => {
    const some = writePatients(folder, 'some', lines())
    await expect(joined({ kind: 'count' }, some, { records: 19 })).rejects.toMatchObject({ code: 'WEFT-FED-065' })
    writeFileSync(join(folder, 'some.csv'), '\n')
    await expect(joined({ kind: 'count' }, some)).rejects.toMatchObject({ code: 'WEFT-FED-065' })
  })

  test('where all sites together have too few records: nothing is unmasked, and the log says so', async () => {
    const sites = await sitesOf()
    const paths = [1, 2, 3].map((seed) => writePatients(folder, `few-${seed}`, linesOf(patients(seed, 10))))
    const job = await begun(sites, analysisPlan([{ kind: 'count' }]), paths)
    const codes = async (): Promise<unknown[]> =>
      (await Promise.all(sites.map(({ federation }) => federation.events(job)))).flat().map(({ code }) => code)
    while (!(await codes()).includes('WEFT-FED-033')) await sleep(20)
    expect(sites.map(({ federation }) => federation.status(job).round)).toEqual([0, 0, 0])
  }, 60_000)

  test('where the plan cannot work, by the field that is wrong', async () => {
    const { federation } = await mesh.site('a')
    const wrong = async (statistic: object, field: string, changes: object = {}): Promise<void> => {
      await expect(federation.create(analysisPlan([statistic], changes))).rejects.toMatchObject({
        code: 'WEFT-FED-060',
        message: expect.stringContaining(`"${field}"`) as string,
      })
    }
    await wrong({ kind: 'moments', column: 'age' }, 'statistics.0.range', { privacy: PRIVACY })
    await wrong({ kind: 'moments', column: 'age', range: [3, 3] }, 'statistics.0.range')
    await wrong({ kind: 'histogram', column: 'age', bins: 3 }, 'statistics.0.bins')
    await wrong({ kind: 'histogram', column: 'age', edges: [1, 3, 2] }, 'statistics.0.edges')
    await wrong({ kind: 'auc', score: 's', target: { column: 'y' }, bins: 2 }, 'statistics.0.target')
    await wrong({ kind: 'median', column: 'age' }, 'statistics.0.kind')
    await wrong({ kind: 'count' }, 'records', { records: 100_000_000, secagg: { bits: 16 } })
    const by = { column: 'cp', values: Array.from({ length: 100 }, (_, index) => index) }
    const large = { kind: 'auc', score: 's', target: { column: 'y', equals: 1 }, bins: 10_000, by }
    await wrong(large, 'statistics')
    await wrong({ kind: 'count' }, 'privacy.colluders', { privacy: { ...PRIVACY, colluders: 3 } })
    await wrong({ kind: 'count' }, 'privacy.epsilon', { privacy: { ...PRIVACY, epsilon: 0 } })
    await expect(
      federation.joinJob({
        job: (await federation.create(analysisPlan([{ kind: 'count' }]))).job,
        data: tables()[0]!,
        trainer: 'true',
      }),
    ).rejects.toMatchObject({ code: 'WEFT-FED-060' })
  })
})
