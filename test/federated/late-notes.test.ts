/** A site that ended before it had noted a round, or was brought to a model by others, notes it when it goes on. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

let mesh: TestMesh
eachWithMesh((made) => ({ mesh } = made))

interface Noted {
  readonly event: string
  readonly round?: number
  readonly step?: number
  readonly members: number | null
  readonly records: number | null
  readonly session: number | null
  readonly model: string
  readonly late?: boolean
}

const ROUNDS = new Set(['round', 'statistics'])

async function noted({ federation }: TestSite, job: string): Promise<Noted[]> {
  const events = (await federation.events(job)) as unknown as Noted[]
  return events.filter(({ event }) => ROUNDS.has(event))
}

test('a round that stands and was not noted is noted after a restart, with its model; once', async () => {
  const sites: TestSite[] = []
  for (const name of ['a', 'b', 'c']) sites.push(await mesh.site(name))
  const [author] = sites as [TestSite]
  const { job } = await author.federation.create(plan({ rounds: 2 }))
  for (const [at, { federation, home }] of sites.entries())
    await federation.joinJob({ job, data: writeSite(home, `site-${at}`, hospitalRows(at + 1, 50)) })
  while (author.federation.status(job).joined.length < 3) await sleep(20)
  await author.federation.start(job)
  while (!sites.every(({ federation }) => federation.status(job).state === 'finished')) await sleep(20)
  const last = sites[2]!
  const before = await noted(last, job)
  expect(before.map(({ event, round }) => [event, round])).toEqual([
    ['statistics', undefined],
    ['round', 1],
    ['round', 2],
  ])
  expect(before.some(({ late }) => late === true)).toBe(false)
  await last.federation.stop()

  // As a process leaves it that ends when it has taken up the model, and has said nothing of it yet.
  const at = join(last.home, 'federated', job)
  const lines = readFileSync(join(at, 'log.jsonl'), 'utf8').trim().split('\n')
  const isLast = (line: string): boolean => line.includes('"event":"round"') && line.includes('"round":2')
  const cut = lines.findIndex(isLast)
  writeFileSync(join(at, 'log.jsonl'), `${lines.slice(0, cut).join('\n')}\n`)
  rmSync(join(at, 'rounds', 'round-0002.npz'))
  const again = await mesh.site('c', {}, last.identity)
  while ((await noted(again, job)).length < 3) await sleep(20)
  const after = await noted(again, job)
  const { members, session, model } = before[2]!
  expect(after[2]).toMatchObject({ round: 2, step: 2, members, session, model, records: null, late: true })
  expect(existsSync(join(at, 'rounds', 'round-0002.npz'))).toBe(true)

  await again.federation.stop()
  const third = await mesh.site('c', {}, last.identity)
  while (third.federation.status(job).state !== 'finished') await sleep(20)
  await sleep(100)
  expect(await noted(third, job)).toEqual(after)
}, 60_000)
