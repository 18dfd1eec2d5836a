import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'
import type { TestSite } from './support/sites.ts'

test('a site that refused goes on with the job once its person has taken the cause away', async () => {
  const folder = temporaryFolder()
  const mesh = createTestMesh(folder)
  try {
    const sites: TestSite[] = []
    for (const name of ['a', 'b', 'c']) sites.push(await mesh.site(name))
    const privacy = { unit: 'record', epsilon: 4, delta: 1e-5, clip: 1, sample_rate: 0.2 }
    const changes = { privacy, rounds: 2, local: { steps: 2, batch: 'full', lr: 0.5 } }
    const [first, , last] = sites
    const { job } = await first!.federation.create(plan(changes))
    const data = sites.map(({ home }, index) => writeSite(join(home), `site-${index}`, hospitalRows(index + 1, 50)))
    for (const [index, { federation }] of sites.entries()) {
      await federation.joinJob({ job, data: data[index]!, cap: index === 2 ? 3 : 12 })
    }
    while (first!.federation.status(job).joined.length < 3) await sleep(20)
    await first!.federation.start(job)
    const refused = (): string | undefined => last!.federation.status(job).error?.code
    while (refused() === undefined) await sleep(20)
    expect(refused()).toBe('WEFT-FED-040')
    expect(sites.slice(0, 2).map(({ federation }) => federation.status(job).state)).toEqual(['running', 'running'])
    await last!.federation.joinJob({ job, data: data[2]!, cap: 12 })
    const isOver = (): boolean => sites.every(({ federation }) => federation.status(job).state === 'finished')
    while (!isOver()) await sleep(50)
    expect(new Set(sites.map(({ federation }) => federation.status(job).model)).size).toBe(1)
  } finally {
    await mesh.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)

test('a site that stops in mid-job holds nobody up: the others are told, go on without it, and it may come again', async () => {
  const folder = temporaryFolder()
  const mesh = createTestMesh(folder)
  try {
    const sites: TestSite[] = []
    for (const name of ['a', 'b', 'c', 'd']) sites.push(await mesh.site(name))
    const [first, , , last] = sites
    // By its deadline alone the others would wait for ten minutes, in every round.
    const { job } = await first!.federation.create(
      plan({ rounds: 1000, deadline: '10m', minimum: { sites: 3, records: 10 } }),
    )
    const data = sites.map(({ home }, index) => writeSite(home, `site-${index}`, hospitalRows(index + 1, 40)))
    for (const [index, { federation }] of sites.entries()) await federation.joinJob({ job, data: data[index]! })
    while (first!.federation.status(job).joined.length < 4) await sleep(20)
    await first!.federation.start(job)
    const round = (): number => first!.federation.status(job).round
    while (round() < 1) await sleep(20)
    await last!.federation.leave(job, 'enough')
    const at = round()
    while (round() < at + 3) await sleep(20)
    const { id } = last!.identity
    expect(first!.federation.status(job).members.find(({ peer }) => peer === id)).toMatchObject({ left: true })
    await last!.federation.joinJob({ job, data: data[3]! })
    while (first!.federation.status(job).members.some(({ left }) => left)) await sleep(20)
  } finally {
    await mesh.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
