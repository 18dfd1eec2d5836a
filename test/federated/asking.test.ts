import { rmSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkFedPlan } from '../../src/federated/index.ts'
import { makeOffer } from '../../src/federated/fleet/documents.ts'
import type { Offer } from '../../src/federated/fleet/documents.ts'
import { pipeOver } from '../../src/federated/rounds/pipe.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { createTestMesh } from './support/sites.ts'
import type { TestMesh } from './support/sites.ts'

let folder: string
let mesh: TestMesh
let data: string
beforeEach(() => {
  folder = temporaryFolder()
  mesh = createTestMesh(folder)
  data = writeSite(folder, 'a', hospitalRows(1, 40))
})
afterEach(async () => {
  await mesh.stop()
  rmSync(folder, { recursive: true, force: true })
})

const CREATED = '2026-01-01T00:00:00Z'
function offerOf(rounds: number, name = 'heart'): Offer {
  return makeOffer(newIdentity(), checkFedPlan(plan({ rounds, name }), 'plan'), CREATED)
}

/** A peer that answers each question about a job with this. */
function answers(document: unknown, id = newIdentity().id): void {
  mesh.handlers.set(id, (channel) => {
    const pipe = pipeOver(systemClock(), channel)
    void (async () => {
      await pipe.next(5000)
      await pipe.send('document', {}, Buffer.from(JSON.stringify(document)))
    })().catch(() => undefined)
  })
}

describe('joining a job by its id', () => {
  test('takes the offer of that id alone, whatever others answer first', async () => {
    const [wanted, other] = [offerOf(3), offerOf(4)]
    answers(other)
    answers({ ...other, job: wanted.job })
    answers({ schema: 'nonsense' })
    answers(null)
    answers(wanted)
    const { federation } = await mesh.site('a')
    const joined = await federation.joinJob({ job: wanted.job, data })
    expect(joined).toMatchObject({ job: wanted.job, plan_hash: wanted.plan_hash, approved: true })
  })

  test('approves nothing where every answer is of another job', async () => {
    const [wanted, other] = [offerOf(3), offerOf(4)]
    answers(other)
    const { federation } = await mesh.site('a')
    await expect(federation.joinJob({ job: wanted.job, data })).rejects.toMatchObject({ code: 'WEFT-FED-062' })
    expect(federation.jobs()).toEqual([])
  })
})

describe('joining a job by the name of its plan', () => {
  test('is refused where peers answer with different ones, and says their ids and hashes', async () => {
    const [one, other] = [offerOf(3), offerOf(4)]
    answers(one)
    answers(other)
    const { federation } = await mesh.site('a')
    const refused = await federation.joinJob({ job: 'heart', data }).catch((error: unknown) => error as Error)
    expect(refused).toMatchObject({ code: 'WEFT-FED-068' })
    for (const { job, plan_hash } of [one, other]) {
      expect((refused as Error).message).toContain(job)
      expect((refused as Error).message).toContain(plan_hash)
    }
    expect(federation.jobs()).toEqual([])
    expect(await federation.joinJob({ job: 'heart', data, hash: other.plan_hash })).toMatchObject({ job: other.job })
  })

  test('works where all agree; an offer of another name is no answer', async () => {
    const one = offerOf(3)
    answers(offerOf(3, 'liver'))
    answers(one)
    answers(one)
    const { federation } = await mesh.site('a')
    expect(await federation.joinJob({ job: 'heart', data })).toMatchObject({ plan_hash: one.plan_hash })
  })
})

describe('a name that several jobs have', () => {
  test('names none of them, here and for who joins, and nothing of those that are here is lost', async () => {
    const [a, b] = [await mesh.site('a'), await mesh.site('b')]
    const first = await a.federation.create(
      checkFedPlan(plan({ minimum: { sites: 1, records: 1 }, secagg: 'off' }), 'plan'),
    )
    await a.federation.joinJob({ job: 'heart', data })
    await b.federation.joinJob({ job: 'heart', data })
    const second = await a.federation.create(checkFedPlan(plan({ rounds: 4 }), 'plan'))
    for (const action of [
      () => a.federation.joinJob({ job: 'heart', data }),
      // That it has joined one of them already says nothing of which is meant now.
      () => b.federation.joinJob({ job: 'heart', data }),
      () => Promise.resolve().then(() => a.federation.status('heart')),
    ])
      await expect(action()).rejects.toMatchObject({ code: 'WEFT-FED-068' })
    expect(a.federation.status(first.job).joined.map(({ site }) => site)).toHaveLength(2)
    expect(await b.federation.joinJob({ job: second.job, data })).toMatchObject({ job: second.job, approved: true })
  })
})

describe('joining with a hash', () => {
  test('refuses a plan with another', async () => {
    const one = offerOf(3)
    answers(one)
    const { federation } = await mesh.site('a')
    const hash = 'ab'.repeat(32)
    await expect(federation.joinJob({ job: one.job, data, hash })).rejects.toMatchObject({ code: 'WEFT-FED-061' })
    await federation.joinJob({ job: one.job, data })
    await expect(federation.joinJob({ job: one.job, data, hash })).rejects.toMatchObject({ code: 'WEFT-FED-061' })
  })
})
