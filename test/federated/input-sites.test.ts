/** Models over no columns in whole federations: documents, folders, ledgers, private steps and secure sums over wires in memory. */
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { JobStatus } from '../../src/federated/index.ts'
import { modelFileDigest } from '../../src/training/index.ts'
import { bars, idxFiles, imageArchive, imageFolder, LABELS, SIDE } from './support/examples.ts'
import { plan } from './support/hospitals.ts'
import { eachWithMesh } from './support/sites.ts'
import type { TestMesh, TestSite } from './support/sites.ts'

let mesh: TestMesh
eachWithMesh((made) => (mesh = made.mesh))

const WRITERS = [imageFolder, idxFiles, imageArchive]
const IMAGES = {
  task: 'multiclass',
  target: undefined,
  features: undefined,
  input: { kind: 'image', dims: [1, SIDE, SIDE], labels: LABELS },
  model: { kind: 'cnn', channels: [3], hidden: [6] },
}
const PRIVACY = { unit: 'record', epsilon: 500, delta: 1e-5, clip: 1, sample_rate: 0.5, noise_multiplier: 0.2 }

/** @param more of the description of each site's data */
async function run(sites: readonly TestSite[], name: string, value: object, more: object = {}): Promise<string> {
  const [author] = sites as [TestSite]
  const { job } = await author.federation.create(value)
  for (const [at, { federation, home }] of sites.entries()) {
    await mkdir(join(home, name), { recursive: true })
    const data = await WRITERS[at % 3]!(join(home, name), `${name}-${at}`, bars(at + 1, 30), more)
    await federation.joinJob({ job, data, cap: 1000 })
  }
  const statuses = (): JobStatus[] => sites.map(({ federation }) => federation.status(job))
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await until(() => statuses()[0]!.joined.length === sites.length)
  await author.federation.start(job)
  await until(() => statuses().every(({ state }) => state === 'finished' || state === 'refused'))
  for (const status of statuses()) expect(status).toMatchObject({ state: 'finished', error: null })
  expect(new Set(statuses().map(({ model }) => model)).size).toBe(1)
  return job
}

test('three sites train one network on images that each keeps in another way, under privacy, and go on from its file', async () => {
  const sites: TestSite[] = []
  for (let at = 0; at < 3; at++) sites.push(await mesh.site(`s${at}`))
  const changes = {
    ...IMAGES,
    rounds: 3,
    local: { steps: 1, batch: 12, optimizer: 'sgd', lr: 0.5 },
    strategy: { name: 'fedavg', weights: 'uniform', server_lr: 1 },
    privacy: PRIVACY,
  }
  const job = await run(sites, 'first', plan(changes))
  const [{ federation, home }] = sites as [TestSite]
  const { entries } = federation.budget() as {
    readonly entries: readonly { readonly events: readonly { readonly steps: number }[] }[]
  }
  expect(entries.flatMap(({ events }) => events).reduce((sum, { steps }) => sum + steps, 0)).toBe(3)
  const out = join(home, 'out')
  expect((await federation.export(job, out)).files).toEqual(expect.arrayContaining(['model.onnx', 'round-0003.npz']))

  for (const site of sites) {
    await mkdir(join(site.home, 'further'))
    await copyFile(join(out, 'model.onnx'), join(site.home, 'further', 'net.onnx'))
  }
  const digest = await modelFileDigest(join(out, 'model.onnx'))
  const file = { ...IMAGES, init: undefined, model: { kind: 'onnx', digest, input: 'x', output: 'scores' }, rounds: 2 }
  const further = await run(sites, 'further', plan(file), { model: 'net.onnx' })
  const losses = (await federation.events(further)).filter(({ event }) => event === 'round').map((line) => line['loss'])
  expect(losses).toHaveLength(2)
  expect(Number(losses[1])).toBeLessThan(Number(losses[0]))
}, 180_000)
