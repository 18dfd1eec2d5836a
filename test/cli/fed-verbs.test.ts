/** `weft fed leave, stop, rounds, log` and `status` on the command line, over the API, with sites that train together. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { JobStatus } from '../../src/federated/index.ts'
import { callFederation } from '../../src/peer/federated.ts'
import type { Federated } from '../../src/peer/federated.ts'
import { socketPath } from '../../src/util/index.ts'
import { buildApi } from '../api/support.ts'
import { hospitalRows, plan, writeSite } from '../federated/support/hospitals.ts'
import { eachWithMesh } from '../federated/support/sites.ts'
import type { TestMesh, TestSite } from '../federated/support/sites.ts'
import { call, json } from './support.ts'
import type { InProcess } from './support.ts'

let folder: string
let mesh: TestMesh
eachWithMesh((made) => ({ folder, mesh } = made))

/** A site of the mesh, and weft beside it. */
interface Seat extends AsyncDisposable {
  readonly site: TestSite
  readonly data: string
  /** `weft fed …` as it is typed there. */
  readonly fed: (...args: readonly string[]) => Promise<InProcess>
  document(...args: readonly string[]): Promise<Record<string, unknown>>
}

async function seat(name: string, seed: number): Promise<Seat> {
  const site = await mesh.site(name)
  const built = buildApi()
  built.peer.federated = (asked, signal) => callFederation({ federation: site.federation } as Federated, asked, signal)
  await built.api.listenSocket(socketPath(site.home, {}))
  const fed = (...args: readonly string[]): Promise<InProcess> => call(['fed', ...args, '--home', site.home])
  return {
    site,
    data: writeSite(site.home, `site-${name}`, hospitalRows(seed, 40)),
    fed,
    async document(...args) {
      const { status, stdout, stderr } = await fed(...args, '--json')
      expect([status, stderr]).toEqual([0, ''])
      return json(stdout)
    },
    [Symbol.asyncDispose]: () => built.api.close(),
  }
}

async function job(seats: readonly Seat[], changes: object): Promise<string> {
  const path = join(folder, 'plan.json')
  writeFileSync(path, JSON.stringify(plan({ minimum: { sites: 3, records: 10 }, ...changes })))
  const { status, stdout } = await seats[0]!.fed('create', path)
  expect(status).toBe(0)
  return stdout.trim()
}

async function until(seat: Seat, name: string, holds: (status: JobStatus) => boolean): Promise<void> {
  while (!holds((await seat.document('status', name)) as unknown as JobStatus)) await sleep(50)
}

const eventsOf = ({ events }: Record<string, unknown>): string[] =>
  (events as { event: string }[]).map(({ event }) => event)

test('leave takes a site out before the start, and says why in its log; it may come again, and rounds tells all rounds', async () => {
  await using a = await seat('a', 1)
  await using b = await seat('b', 2)
  await using c = await seat('c', 3)
  const seats = [a, b, c]
  const name = await job(seats, { rounds: 2 })
  for (const { fed, data } of seats) expect((await fed('join', name, '--data', data)).status).toBe(0)
  await until(a, name, ({ joined }) => joined.length === 3)

  const left = await c.fed('leave', name, '--why', 'we have moved')
  expect([left.status, left.stderr]).toEqual([0, ''])
  expect(left.stdout).toContain(`${name}  heart  stopped, round 0 of 2`)
  expect(left.stdout).toContain('stopped here: we have moved\nweft fed join')
  expect(await c.document('status', name)).toMatchObject({ state: 'stopped', stopped: 'we have moved', joined: [] })
  expect((await c.fed('log', name)).stdout).toMatch(/ {2}left {2}why=we have moved$/m)
  // Its author has heard of it, and waits for a third.
  await until(a, name, ({ joined }) => joined.length === 2)
  expect(await a.document('status', name)).toMatchObject({
    waits: { for: [], why: '2 of at least 3 sites have joined' },
  })
  expect((await a.fed('start', name)).stderr).toContain('2 of at least 3 sites have joined')

  // With an option for tests: whoever asks is told.
  const kept = join(folder, 'kept')
  mkdirSync(kept)
  expect((await c.fed('join', name, '--data', c.data, '--record', kept)).status).toBe(0)
  for (const args of [['status'], ['status', name]]) {
    expect((await c.fed(...args)).stderr).toContain('TEST INTERFACE on (record)')
    expect((await b.fed(...args)).stderr).toBe('')
  }
  await until(a, name, ({ joined }) => joined.length === 3)
  expect((await a.fed('start', name)).status).toBe(0)
  for (const each of seats) await until(each, name, ({ state }) => state === 'finished')

  const rounds = (await b.document('rounds', name))['rounds'] as { event: string; round?: number; loss: number }[]
  expect(rounds.map(({ event, round }) => [event, round])).toEqual([
    ['statistics', undefined],
    ['round', 1],
    ['round', 2],
  ])
  const lines = (await b.fed('rounds', name)).stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(4)
  expect(lines[0]).toMatch(/^ {2}ROUND {2}SUM +LOSS {2}RECORDS {2}SITES {2}BYTES {2}OWN/)
  expect(lines[3]).toMatch(/^ +2 +2 +0\.\d+ +96 +3 /)
  const log = await c.document('log', name)
  expect([log['schema'], log['job']]).toEqual(['weft.fed-log/1', name])
  const told = eventsOf(log)
  expect(told.filter((event) => ['joined', 'left', 'round', 'job.over'].includes(event))).toEqual([
    'joined',
    'left',
    'joined',
    'round',
    'round',
    'job.over',
  ])
}, 120_000)

test('stop ends a job at one site in mid-round, with its reason: it makes no round any more, and the others wait for it', async () => {
  await using a = await seat('a', 1)
  await using b = await seat('b', 2)
  await using c = await seat('c', 3)
  const seats = [a, b, c]
  const name = await job(seats, { rounds: 1000 })
  for (const { fed, data } of seats) await fed('join', name, '--data', data)
  await until(a, name, ({ joined }) => joined.length === 3)
  await a.fed('start', name)
  const roundsAt = async (): Promise<number> => ((await b.document('rounds', name))['rounds'] as unknown[]).length
  while ((await roundsAt()) < 2) await sleep(50)
  const stopped = await b.fed('stop', name, '--why', 'enough')
  expect(stopped.status).toBe(0)
  // Where it stands here is known, and what came of it until then can be taken out.
  expect(stopped.stdout).toMatch(new RegExp(`^${name} {2}heart {2}stopped, round [1-9]\\d* of 1000\n`))
  const out = join(folder, 'taken')
  expect((await b.document('export', name, '-o', out))['files']).toContain('model.onnx')
  writeFileSync(join(out, 'signed', 'offer.json'), '{"job":"0123456789abcdef"}')
  expect((await b.fed('export', name, '-o', out)).stderr).toContain('holds what came of another job')
  const isMissed = ({ waits }: JobStatus, ms: number): boolean =>
    waits?.for.includes(b.site.identity.id) === true && waits.ms >= ms
  // One of the two aggregates, and the other has it from that one.
  for (const each of [a, c]) await until(each, name, (status) => isMissed(status, 0))
  const at = await roundsAt()
  for (const each of [a, c]) await until(each, name, (status) => isMissed(status, 1000))
  expect(await roundsAt()).toBe(at)
  const { events } = (await b.document('log', name)) as { events: { event: string; why?: string }[] }
  expect(events.filter(({ event }) => event === 'left').map(({ why }) => why)).toEqual(['enough'])
  expect(events.map(({ event }) => event)).not.toContain('job.over')
}, 120_000)

test.each(['leave', 'stop', 'rounds', 'log'])('%s needs a job, and one that is there', async (verb) => {
  await using a = await seat('a', 1)
  const none = await a.fed(verb)
  expect([none.status, none.stdout]).toEqual([2, ''])
  expect(none.stderr).toContain(`weft fed ${verb} needs JOB`)
  const unknown = await a.fed(verb, 'nobody', '--json')
  expect([unknown.status, JSON.stringify(unknown.stdout + unknown.stderr)]).toEqual([
    4,
    expect.stringContaining('WEFT-FED-062'),
  ])
})
