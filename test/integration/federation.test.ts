import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isLong } from '../whole.ts'
import type { JobStatus } from '../../src/federated/index.ts'
import { createLab, joined, until } from './support.ts'
import type { RealPeer } from './support.ts'
import { hospitalRows, plan, writeSite } from '../federated/support/hospitals.ts'

const lab = await createLab()
afterAll(() => lab.stop())

describe.runIf(isLong)('a federation of real peers', () => {
  test('trains one model over four sites in three rounds; a site that is killed and comes back catches up', async () => {
    const names = ['a', 'b', 'c', 'd']
    const peers = await Promise.all(names.map((name) => lab.start(name)))
    await joined(peers)
    const author = peers[0]!
    const made = (await author.access.federated({ op: 'create', plan: plan() })) as { job: string; plan_hash: string }
    const { job } = made
    for (const [index, { access, home }] of peers.entries()) {
      mkdirSync(join(home, 'site'))
      const data = writeSite(join(home, 'site'), names[index]!, hospitalRows(index + 1, 60 + 10 * index, 3 * index))
      await access.federated({ op: 'join', job, data })
    }
    const status = async ({ access }: RealPeer): Promise<JobStatus> =>
      (await access.federated({ op: 'status', job })) as JobStatus
    await until('all have joined', async () => (await status(author)).joined.length === 4)
    await author.access.federated({ op: 'start', job })
    const late = peers[3]!
    await until('it has begun', async () => (await status(late)).state === 'running')
    late.child.kill('SIGKILL')
    const here = peers.slice(0, 3)
    const areOver = async (): Promise<boolean> =>
      (await Promise.all(here.map(status))).every(({ state }) => state === 'finished')
    await until('the others are finished', areOver, 90_000)
    peers[3] = await lab.start('d')
    await until('it has caught up', async () => (await status(peers[3]!)).state === 'finished')
    const all = await Promise.all(peers.map(status))
    expect(new Set(all.map(({ model }) => model)).size).toBe(1)
    expect(all[0]).toMatchObject({ round: 3, rounds: 3, plan_hash: made.plan_hash, approved: true })
    const out = join(author.home, 'result')
    await author.access.federated({ op: 'export', job, out })
    const files = ['model.onnx', 'result.json', 'round-0003.npz', 'statistics.json']
    expect(readdirSync(out)).toEqual(expect.arrayContaining(files))
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as { rounds: { loss: number }[] }
    expect(result.rounds).toHaveLength(3)
    expect(result.rounds[2]!.loss).toBeLessThan(result.rounds[0]!.loss)
  }, 200_000)
})
