import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isLong } from '../whole.ts'
import { auditFolder } from '../../src/federated/index.ts'
import type { JobResults, JobStatus } from '../../src/federated/index.ts'
import { analyse, analysisPlan, linesOf, patients, writePatients } from '../federated/support/analysis.ts'
import { createLab, joined, until } from './support.ts'
import type { RealPeer } from './support.ts'

const lab = await createLab()
afterAll(() => lab.stop())

const STATISTICS = [
  { kind: 'count', by: { column: 'cp', values: [1, 2, 3, 4] } },
  { kind: 'moments', column: 'age', range: [0, 120] },
  { kind: 'quantiles', column: 'chol', range: [100, 612], bins: 8, at: [0.25, 0.5], rounds: 3 },
  { kind: 'kaplan-meier', time: 'time', event: { column: 'event', equals: 1 }, range: [0, 40], bins: 40 },
  { kind: 'auc', score: 'score', target: { column: 'num', above: 0 }, bins: 50 },
  { kind: 'calibration', score: 'score', target: { column: 'num', above: 0 }, bins: 5 },
  { kind: 'drift', name: 'labels', column: 'num', values: [0, 1, 2, 3] },
]

describe.runIf(isLong)('an analysis over real peers', () => {
  const names = ['a', 'b', 'c']
  let peers: RealPeer[] = []

  const status = async ({ access }: RealPeer, job: string): Promise<JobStatus> =>
    (await access.federated({ op: 'status', job })) as JobStatus
  const results = async ({ access }: RealPeer, job: string): Promise<JobResults> =>
    (await access.federated({ op: 'results', job })) as JobResults

  async function begun(plan: object, paths: readonly string[], cap?: number): Promise<string> {
    const author = peers[0]!
    const { job } = (await author.access.federated({ op: 'create', plan })) as { job: string }
    for (const [index, { access }] of peers.entries()) {
      await access.federated({ op: 'join', job, data: paths[index]!, ...(cap === undefined ? {} : { cap }) })
    }
    await until('all have joined', async () => (await status(author, job)).joined.length === 3)
    await author.access.federated({ op: 'start', job })
    return job
  }

  async function over(job: string): Promise<JobResults[]> {
    const areOver = async (): Promise<boolean> =>
      (await Promise.all(peers.map((peer) => status(peer, job)))).every(({ state }) => state === 'finished')
    await until('all are finished', areOver, 90_000)
    return Promise.all(peers.map((peer) => results(peer, job)))
  }

  test('gives what all records together say; a site that is killed in its midst comes back and has it too', async () => {
    peers = await Promise.all(names.map((name) => lab.start(name)))
    await joined(peers)
    const tables = [patients(1, 90), patients(2, 70, 5), patients(3, 50, -4)]
    const paths = peers.map(({ home }, index) => {
      mkdirSync(join(home, 'site'))
      return writePatients(join(home, 'site'), names[index]!, linesOf(tables[index]!))
    })
    const plan = analysisPlan(STATISTICS, { transcripts: 5 })
    const job = await begun(plan, paths)
    const late = peers[2]!
    late.child.kill('SIGKILL')
    peers[2] = await lab.start('c')
    const found = await over(job)
    const { result } = await analyse(plan, paths)
    for (const { job: _, plan: __, own, ...all } of found) {
      expect(all).toEqual(result)
      expect(own).not.toBe(null)
    }
    // Whoever has their exports sums each round again.
    const out = lab.home('exports')
    for (const [index, { access }] of peers.entries()) {
      await access.federated({ op: 'export', job, out: join(out, names[index]!) })
    }
    const report = await auditFolder(out)
    expect(report).toMatchObject({ ok: true, findings: [] })
    expect(report.rounds.map(({ members }) => members.length)).toEqual([3, 3, 3])
    expect(report.rounds.at(-1)!.state).toBe((await status(peers[0]!, job)).model)
    // With noise: charged at each site, and a second time by a second run.
    const noised = analysisPlan(STATISTICS, { privacy: { unit: 'record', epsilon: 2, delta: 1e-5 } })
    const first = await over(await begun(noised, paths, 3.5))
    expect(first[0]!.privacy).toMatchObject({ unit: 'record', delta: 1e-5, q: 1, T: 3 })
    const second = await over(await begun(noised, paths))
    expect(second[0]!.statistics).not.toEqual(first[0]!.statistics)
    for (const { access } of peers) {
      const { entries } = (await access.federated({ op: 'budget' })) as {
        entries: { epsilon: number; unit: string; events: { steps: number }[] }[]
      }
      expect(entries).toHaveLength(1)
      expect(entries[0]!.events.reduce((sum, { steps }) => sum + steps, 0)).toBeGreaterThanOrEqual(6)
      expect(entries[0]!.epsilon).toBeGreaterThan(2.5)
    }
  }, 240_000)
})
