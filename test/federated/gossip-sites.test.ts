/** Gossip of whole federations: documents, folders, ledgers, real training and sums over wires in memory; and the same in a simulation. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkFedPlan, simulateFederation } from '../../src/federated/index.ts'
import type { Federation, JobStatus } from '../../src/federated/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

let mesh: TestMesh
eachWithMesh((made) => (mesh = made.mesh))

const SITES = 8
const GOSSIP = {
  gossip: { group: 4 },
  model: { kind: 'linear' },
  rounds: 3,
  local: { steps: 5, batch: 'full', optimizer: 'sgd', lr: 0.1 },
  minimum: { sites: 3, records: 64 },
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20))
}

test('eight sites train models of their own, mix them in groups, and each exports its own', async () => {
  const sites: TestSite[] = []
  for (let at = 0; at < SITES; at++) sites.push(await mesh.site(`s${at}`))
  const [author] = sites as [TestSite]
  const { job } = await author.federation.create(plan(GOSSIP))
  for (const [at, { federation, home }] of sites.entries())
    await federation.joinJob({ job, data: writeSite(home, `site-${at}`, hospitalRows(at + 1, 60, at)) })
  await until(() => author.federation.status(job).joined.length === SITES)
  await author.federation.start(job)
  const last: string[] = []
  let sums = 0
  const statusOf = (federation: Federation): JobStatus => federation.status(job)
  await until(() => sites.every(({ federation }) => ['finished', 'refused'].includes(statusOf(federation).state)))
  for (const { federation, home } of sites) {
    expect(statusOf(federation)).toMatchObject({ state: 'finished', round: 3, rounds: 3, error: null })
    const lines = (await federation.events(job)).filter(({ event }) => event === 'round')
    // Who is late on a busy machine mixes in a later round, and may have no line of one before.
    expect(lines.at(-1)!['round']).toBe(3)
    const mixed = lines.filter((line) => line['mixed'] === true)
    for (const { members } of mixed) expect(members).toBeGreaterThanOrEqual(3)
    if (mixed.some(({ round }) => round === 3)) last.push(home)
    sums += mixed.length
    const out = join(home, 'out')
    const { files } = await federation.export(job, out)
    expect(files).toContain('round-0003.npz')
    expect(files).toContain('statistics.json')
  }
  expect(sums).toBeGreaterThan(0)
  // Who was in one group in the last round has the same model; the other group has another.
  const models = last.map((home) => readFileSync(join(home, 'out', 'round-0003.npz')).toString('hex'))
  for (const model of models) {
    const of = models.filter((one) => one === model).length
    expect([3, 4]).toContain(of)
  }
  // Rounds that are over are over after a restart as well; one that a process did not come to note is noted then.
  await author.federation.stop()
  const log = join(author.home, 'federated', job, 'log.jsonl')
  const kept = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => !/"event":"round".*"round":3/.test(line))
  writeFileSync(log, kept.join('\n'))
  const again = await mesh.site('s0', {}, author.identity)
  await until(() => again.federation.status(job).state === 'finished')
  expect(again.federation.status(job).round).toBe(3)
  const late = (await again.federation.events(job)).filter(({ event }) => event === 'round').at(-1)
  expect(late).toMatchObject({ round: 3, mixed: null, late: true })
}, 120_000)

test('a simulation of it mixes whole groups alone, the same with masks and without, and models come together', async () => {
  const folder = temporaryFolder()
  try {
    const data = Array.from({ length: SITES }, (_, at) => writeSite(folder, `site-${at}`, hospitalRows(at + 1, 60, at)))
    const checked = checkFedPlan(plan({ ...GOSSIP, rounds: 4 }), 'plan')
    const run = (out: string, spec: object): ReturnType<typeof simulateFederation> => {
      mkdirSync(join(folder, out))
      const request = { plan: checked, data, out: join(folder, out), spec: { seed: 1, ...spec } }
      return simulateFederation({ clock: systemClock(), engine: createOrtEngine() }, request)
    }
    const [masked, plainly] = [await run('masked', { masks: true }), await run('plain', { masks: false })]
    expect(masked).toEqual(plainly)
    expect(masked.rounds.map(({ groups, sites }) => [groups, sites])).toEqual(Array.from({ length: 4 }, () => [2, 8]))
    // Of a group of four one may be missing, and two may not.
    const drops = new Map([[1, new Set(['site-0', 'site-1', 'site-2', 'site-3', 'site-4'])]])
    const { rounds } = await run('drops', { drops })
    expect(rounds[0]!.groups! * 3).toBeLessThanOrEqual(3)
    expect(rounds[0]!.sites).toBe(3 * rounds[0]!.groups!)
    expect(rounds[0]!.spread!).toBeGreaterThan(rounds.at(-1)!.spread!)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 120_000)
