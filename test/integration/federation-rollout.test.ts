/** One mesh trains and answers: an adapter over three real peers, and its rounds rolled out to the stages that serve the model. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { JobStatus } from '../../src/federated/index.ts'
import { readNpz, writeNpz } from '../../src/data/index.ts'
import type { RolloutRecord } from '../../src/peer/index.ts'
import { weft } from '../cli/support.ts'
import { hospitalRows, plan as tablePlan, writeSite } from '../federated/support/hospitals.ts'
import { isLong } from '../whole.ts'
import { answer, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { RealPeer } from './support.ts'

const lab = await createLab()
afterAll(() => lab.stop())

/** Rows of a table, as a model over one takes them: age, chol, cp and thalach. */
const ROWS = Float32Array.from([0, 0, 1, 1.5, 1, -1, 4, 1.2, -2, 0.5, 2, 1.7])

/** The scores that a model gives for these rows. */
async function scores({ access, home }: RealPeer, model: string, more: object = {}): Promise<readonly number[]> {
  const [from, to] = [join(home, 'rows.npz'), join(home, 'scores.npz')]
  await writeNpz(from, new Map([['x', { type: 'float32', dims: [3, 4], data: ROWS }]]))
  await access.inferFiles({ model, in: from, out: to, ...more })
  return Array.from((await readNpz(to)).get('scores')!.data as Float32Array)
}

const SENTENCES = [
  'THE SEA WAS CALM, AND THE OLD MAN SAID NOTHING ABOUT IT. ',
  'THE OLD MAN WAS LOUD, AND THE SEA SAID IT ALL. ',
  'IT WAS THE SEA THAT SAID NOTHING, AND THE MAN WAS CALM. ',
]

describe.runIf(isLong)('a mesh of three', () => {
  test('trains an adapter, tries each round on its answers, and serves it over its stages, also after a kill', async () => {
    const names = ['a', 'b', 'c']
    const peers = await Promise.all(names.map((name) => lab.start(name)))
    await joined(peers)
    await peers[0]!.access.importModel({ source: TINY, name: 'weft-tiny' }, () => undefined)
    // The plan as a person begins with it; the digest is that of the model here.
    const file = join(peers[0]!.home, 'plan.json')
    const made = await weft(['fed', 'new', '--lora', 'weft-tiny', '-o', file, '--home', peers[0]!.home])
    expect(made).toMatchObject({ status: 0 })
    const { default: first } = (await import(file, { with: { type: 'json' } })) as { default: Record<string, object> }
    const plan = {
      ...first,
      model: { ...first['model'], length: 16 },
      split: { every: 5, test: 4 },
      rounds: 2,
      local: { steps: 2, batch: 4, optimizer: 'adamw', lr: 0.01 },
      minimum: { sites: 3, records: 20 },
    }
    const { job } = (await peers[0]!.access.federated({ op: 'create', plan })) as { job: string }
    for (const [index, { access, home }] of peers.entries()) {
      mkdirSync(join(home, 'site'))
      writeFileSync(join(home, 'site', 'a.txt'), SENTENCES[index]!.repeat(8))
      const data = join(home, 'site', 'a.json')
      const value = { schema: 'weft.fed-data/1', site: names[index], kind: 'text', path: 'a.txt' }
      writeFileSync(data, JSON.stringify(value))
      // Who has no such model fetches it from the mesh, and holds it against the plan's digest.
      await access.federated({ op: 'join', job, data })
    }
    const status = async ({ access }: RealPeer): Promise<JobStatus> =>
      (await access.federated({ op: 'status', job })) as JobStatus
    await until('all have joined', async () => (await status(peers[0]!)).joined.length === 3)

    const rollout = async (more: object = {}): Promise<RolloutRecord> =>
      (await peers[0]!.access.federated({ op: 'rollout', job, do: 'status', ...more })) as RolloutRecord
    await rollout({ do: 'begin', alias: 'clinic@live', canary: 0.5, requests: 3 })
    const stages = placement('weft-tiny', [
      [peers[0]!, 0, 3],
      [peers[1]!, 3, 6],
      [peers[2]!, 6, 8],
    ])
    const said = async (model = 'weft-tiny:clinic@live'): Promise<string> =>
      (await answer(peers[0]!, greedy(model, 8, { placement: stages }))).ids.join()
    const before = await said('weft-tiny')
    expect(await said()).toBe(before)
    await peers[0]!.access.federated({ op: 'start', job })

    const promoted = async (round: number): Promise<void> => {
      await until(
        `a round is tried or serves`,
        async () => {
          const { candidate, live, steps } = await rollout()
          // One that nobody has asked for makes way for the next.
          const { step, why } = steps.at(-1)!
          expect(step === 'back' ? why : '').toMatch(/^$|^nobody has asked for it/)
          return candidate !== null || (live?.round ?? 0) >= round
        },
        120_000,
      )
      for (let at = 0; at < 40 && (await rollout()).candidate !== null; at++) await said()
    }
    await promoted(1)
    await until(
      'all are finished',
      async () => (await Promise.all(peers.map(status))).every(({ state }) => state === 'finished'),
      90_000,
    )
    await promoted(2)
    await until('the last round serves', async () => (await rollout()).live?.round === 2)
    const last = await said()
    expect(last).not.toBe(before)

    // Written within a quarter of a second: a kill before that takes it along.
    const { home } = peers[0]!
    const isWritten = async (what: string): Promise<boolean> =>
      (await weft(['audit', 'tail', '--lines', '0', '--json', '--home', home])).stdout.includes(what)
    await until('the promotion is in the audit log', () => isWritten('rollout.promote'))
    peers[0]!.child.kill('SIGKILL')
    peers[0] = await lab.start('a')
    await joined(peers)
    const again = placement('weft-tiny', [
      [peers[0], 0, 3],
      [peers[1]!, 3, 6],
      [peers[2]!, 6, 8],
    ])
    const served = await answer(peers[0], greedy('weft-tiny:clinic@live', 8, { placement: again }))
    expect(served.ids.join()).toBe(last)
    expect((await rollout({ do: 'back' })).live?.round ?? 0).toBeLessThan(2)
    expect((await peers[0].access.status()).counters).toMatchObject({ rollouts_back: 1 })
    for (const what of ['rollout.begin', 'rollout.candidate', 'rollout.promote', 'rollout.back', 'fed.rollout'])
      await until(`${what} is in the audit log`, () => isWritten(what))
  }, 300_000)

  test('trains a model over tables, answers under one name with the round that serves, also after a kill', async () => {
    const names = ['d', 'e', 'f']
    const peers = await Promise.all(names.map((name) => lab.start(name)))
    await joined(peers)
    const author = peers[0]!
    const plan = tablePlan({
      model: { kind: 'linear' },
      rounds: 2,
      init: 'zeros',
      local: { steps: 3, batch: 'full', lr: 0.3 },
    })
    const { job } = (await author.access.federated({ op: 'create', plan })) as { job: string }
    for (const [index, { access, home }] of peers.entries()) {
      mkdirSync(join(home, 'site'))
      const data = writeSite(join(home, 'site'), names[index]!, hospitalRows(index + 1, 80))
      await access.federated({ op: 'join', job, data })
    }
    const status = async ({ access }: RealPeer): Promise<JobStatus> =>
      (await access.federated({ op: 'status', job })) as JobStatus
    await until('all have joined', async () => (await status(author)).joined.length === 3)
    const rollout = async (more: object = {}): Promise<RolloutRecord> =>
      (await peers[0]!.access.federated({ op: 'rollout', job, do: 'status', ...more })) as RolloutRecord
    await rollout({ do: 'begin', alias: 'heart@live', canary: 0.5, requests: 2 })
    await expect(scores(author, 'heart@live')).rejects.toMatchObject({ code: 'WEFT-FED-087' })
    await author.access.federated({ op: 'start', job })
    await until('a round is tried', async () => (await rollout()).candidate !== null, 90_000)
    // Nothing serves yet: a request that is not for what is tried is told so.
    for (let at = 0; at < 60 && (await rollout()).live === null; at++)
      await scores(author, 'heart@live').catch((error: { code?: string }) => expect(error.code).toBe('WEFT-FED-087'))
    expect((await rollout()).live?.round).toBeGreaterThan(0)
    await until('it is finished', async () => (await status(author)).state === 'finished', 90_000)
    await until(
      'the last round serves',
      async () => {
        const { candidate, live } = await rollout()
        if (candidate !== null) await scores(author, 'heart@live')
        return live?.round === 2
      },
      60_000,
    )
    const out = join(author.home, 'result')
    await author.access.federated({ op: 'export', job, out })
    const byHand = { source: join(out, 'model.onnx'), name: 'by-hand' }
    const { blocks } = await author.access.importModel(byHand, () => undefined)
    const served = await scores(author, 'heart@live')
    expect(served).toEqual(await scores(author, 'by-hand', { parts: 1 }))
    // Another peer's process computes it, and fetches it by its content.
    const stages = [{ peer: peers[1]!.id, from: 0, to: blocks }]
    expect(await scores(author, 'heart@live', { stages })).toEqual(served)

    author.child.kill('SIGKILL')
    peers[0] = await lab.start('d')
    expect(await scores(peers[0], 'heart@live')).toEqual(served)
    const { models } = await peers[0].access.status()
    const { name } = (await rollout()).live!
    expect(models.map(({ model }) => model)).toContain(name)
    expect((await rollout({ do: 'back' })).live?.round ?? 0).toBeLessThan(2)
    expect((await peers[0].access.status()).models.map(({ model }) => model)).not.toContain(name)
  }, 300_000)
})
