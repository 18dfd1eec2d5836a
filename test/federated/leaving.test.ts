/** Sites that leave a job: whoever else is in it hears of it, and what came of the job can be looked at without anything running on. */
import { existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, writeSite } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

let mesh: TestMesh
eachWithMesh((made) => ({ mesh } = made))

async function joined(
  names: readonly string[],
  changes: object,
  last = {},
): Promise<{ sites: TestSite[]; job: string; data: string[] }> {
  const sites: TestSite[] = []
  for (const [at, name] of names.entries()) sites.push(await mesh.site(name, at === names.length - 1 ? last : {}))
  const [author] = sites as [TestSite]
  const { job } = await author.federation.create(plan({ minimum: { sites: 3, records: 10 }, ...changes }))
  const data = sites.map(({ home }, at) => writeSite(home, `site-${at}`, hospitalRows(at + 1, 40)))
  for (const [at, { federation }] of sites.entries()) await federation.joinJob({ job, data: data[at]! })
  while (author.federation.status(job).joined.length < sites.length) await sleep(20)
  return { sites, job, data }
}

test('a leave that reaches the author after it has started is told to the others as well', async () => {
  const { sites, job } = await joined(['a', 'b', 'c', 'd'], { rounds: 10_000, deadline: '10m' })
  const [author, other, , last] = sites as [TestSite, TestSite, TestSite, TestSite]
  const handler = mesh.handlers.get(author.identity.id)!
  mesh.handlers.delete(author.identity.id)
  await last.federation.leave(job, 'enough')
  await author.federation.start(job)
  expect(author.federation.status(job).members).toHaveLength(4)
  mesh.handlers.set(author.identity.id, handler)
  const hasHeard = (): boolean =>
    other.federation.status(job).members.some(({ peer, left }) => left && peer === last.identity.id)
  while (!hasHeard()) await sleep(20)
}, 30_000)

test('what came of a job cannot be exported without the data, and nothing of the try runs on', async () => {
  const clock = systemClock()
  let timers = 0
  const counting = {
    now: () => clock.now(),
    wall: () => clock.wall(),
    sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms, signal),
    after(ms: number, action: () => void) {
      timers++
      let isOver = false
      const end = (): void => {
        if (!isOver) timers--
        isOver = true
      }
      const cancel = clock.after(ms, () => {
        end()
        action()
      })
      return () => {
        end()
        cancel()
      }
    },
  }
  const { sites, job, data } = await joined(['a', 'b', 'c'], { rounds: 10_000 }, { clock: counting })
  const last = sites[2]!
  await sites[0]!.federation.start(job)
  while (last.federation.status(job).round < 1) await sleep(20)
  await last.federation.leave(job, 'enough')
  for (const file of data) rmSync(file)
  const out = `${last.home}/out`
  const tried = (): Promise<string> =>
    last.federation.export(job, out).then(
      () => 'exported',
      (error: unknown) => (error as { code: string }).code,
    )
  expect(await tried()).toMatch(/^WEFT-/)
  await sleep(50)
  const before = timers
  for (let turn = 0; turn < 5; turn++) expect(await tried()).toMatch(/^WEFT-/)
  await sleep(50)
  expect(timers).toBeLessThanOrEqual(before)
  expect(existsSync(out)).toBe(false)
}, 30_000)
