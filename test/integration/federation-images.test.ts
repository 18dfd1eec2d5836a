/** A network for images over real peers, each of which keeps its images in another way; what comes of it answers by name. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readNpz, writeNpz } from '../../src/data/index.ts'
import { bars, idxFiles, imageArchive, imageFolder, LABELS, SIDE } from '../federated/support/examples.ts'
import { plan } from '../federated/support/hospitals.ts'
import { isLong } from '../whole.ts'
import { begun, finished, jobStatus, roundsOf, siteFolder } from './fed-job.ts'
import { codeOf, createLab, joined, until } from './support.ts'
import type { RealPeer } from './support.ts'

const lab = await createLab()
afterAll(() => lab.stop())

const WRITERS = [imageFolder, idxFiles, imageArchive]
const ROUNDS = 6
const IMAGES = {
  task: 'multiclass',
  target: undefined,
  features: undefined,
  input: { kind: 'image', dims: [1, SIDE, SIDE], labels: LABELS },
  model: { kind: 'cnn', channels: [4], hidden: [8] },
  rounds: ROUNDS,
  local: { steps: 5, batch: 16, optimizer: 'sgd', lr: 0.3 },
  strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
}

describe.runIf(isLong)('images over real peers', () => {
  test('train one network out of a folder, IDX files and an archive; a round is rolled out and answers', async () => {
    const peers: RealPeer[] = []
    for (let at = 0; at < 3; at++) peers.push(await lab.start(`s${at}`))
    await joined(peers)
    const data = async (peer: RealPeer, at: number): Promise<string> =>
      WRITERS[at]!(siteFolder(peer, 'site'), `s${at}`, bars(at + 1, 60))
    const job = await begun(peers, plan(IMAGES), data)
    const states = await finished(peers, job, 150_000)
    expect(new Set(states.map(({ model }) => model)).size).toBe(1)
    const [author] = peers as [RealPeer]
    const rounds = await roundsOf(author, job)
    expect(Number(rounds.at(-1)!.loss)).toBeLessThan(0.8 * Number(rounds[0]!.loss))

    const out = join(author.home, 'out')
    await author.access.federated({ op: 'export', job, out })
    expect(readdirSync(out)).toEqual(expect.arrayContaining(['model.onnx', `round-000${ROUNDS}.npz`, 'result.json']))
    await author.access.importModel({ source: join(out, 'model.onnx'), name: 'bars' }, () => undefined)
    const fresh = bars(99, 30)
    const pixels = new Uint8Array(Buffer.concat(fresh.map((image) => image.pixels)))
    const [from, to] = [join(author.home, 'x.npz'), join(author.home, 'scores.npz')]
    await writeNpz(from, new Map([['x', { type: 'uint8', dims: [fresh.length, 1, SIDE, SIDE], data: pixels }]]))
    await author.access.inferFiles({ model: 'bars', in: from, out: to })
    const scores = (await readNpz(to)).get('scores')!.data as Float32Array
    const right = fresh.filter(({ label }, row) => {
      const own = scores.subarray(row * LABELS.length, (row + 1) * LABELS.length)
      return own.indexOf(Math.max(...own)) === label
    })
    expect(right.length / fresh.length).toBeGreaterThan(0.6)
  }, 300_000)

  test('refuse a folder that is no label of the plan before anything leaves', async () => {
    const peers: RealPeer[] = []
    for (let at = 0; at < 3; at++) peers.push(await lab.start(`t${at}`))
    await joined(peers)
    const [author] = peers as [RealPeer]
    const changed = { ...IMAGES, input: { ...IMAGES.input, labels: ['falling', 'lying', 'sitting'] } }
    const { job } = (await author.access.federated({ op: 'create', plan: plan(changed) })) as { readonly job: string }
    const folder = imageFolder(siteFolder(author, 'site'), 'odd', bars(1, 30))
    const refused = await author.access.federated({ op: 'join', job, data: folder }).then(() => 'joined', codeOf)
    expect(refused).toBe('WEFT-DAT-011')
    await until('nobody has joined', async () => (await jobStatus(author, job)).joined.length === 0)
  }, 120_000)
})
