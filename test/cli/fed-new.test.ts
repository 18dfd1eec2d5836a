import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { bars, imageFolder, LABELS, SIDE } from '../federated/support/examples.ts'
import { call } from './support.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-fed-new-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('weft fed new --buffer writes a plan of asynchronous rounds, and says with how many sites it goes', async () => {
  const path = join(folder, 'quick.json')
  const made = await call(['fed', 'new', '--buffer', '7', '-o', path])
  expect([made.status, made.stdout.trim()]).toEqual([0, path])
  expect(made.stderr).toMatch(/7 sites that are ready first.*10 sites at most/s)
  const plan = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  expect([plan['strategy'], plan['buffer']]).toEqual([{ name: 'fedbuff', server_lr: 1 }, { cohort: 7 }])
  const bounded = join(folder, 'bounded.json')
  expect((await call(['fed', 'new', '--buffer', '7', '--oldest', '10', '-o', bounded])).status).toBe(0)
  expect(JSON.parse(readFileSync(bounded, 'utf8'))).toMatchObject({ buffer: { cohort: 7, oldest: 10 } })
  expect((await call(['fed', 'new', '--oldest', '10', '-o', join(folder, 'no-buffer.json')])).status).toBe(2)
})

test('weft fed new --gossip writes a plan without a common model, and says among whom a site is hidden', async () => {
  const path = join(folder, 'gossip.json')
  const made = await call(['fed', 'new', '--gossip', '4', '-o', path])
  expect([made.status, made.stdout.trim()]).toEqual([0, path])
  expect(made.stderr).toMatch(/hidden among its group, not among all/)
  expect(made.stderr).toMatch(/mixes with 3 of 4 sites that stay/)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ gossip: { group: 4 }, strategy: { name: 'fedavg' } })
})

test('weft fed new --images writes a plan over images like those in a folder, which a site with that folder can carry out', async () => {
  const data = imageFolder(folder, 'scans', bars(1, 90))
  const path = join(folder, 'scans-plan.json')
  const made = await call(['fed', 'new', '--images', join(folder, 'scans'), '-o', path])
  expect([made.status, made.stdout.trim()]).toEqual([0, path])
  const plan = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  expect(plan).toMatchObject({
    input: { kind: 'image', dims: [1, SIDE, SIDE], labels: LABELS },
    model: { kind: 'cnn' },
  })
  const checked = await call(['fed', 'check', path, '--data', data, '--json'])
  expect(checked.status).toBe(0)
  expect(JSON.parse(checked.stdout)).toMatchObject({ sites: [{ site: 'scans', records: 72, test: 18 }] })
  expect((await call(['fed', 'new', '--images', folder, '--analysis', '-o', join(folder, 'no.json')])).status).toBe(2)
  expect((await call(['fed', 'new', '--images', join(folder, 'scans', LABELS[0]!), '-o', path])).status).toBe(2)
})

test('weft fed check says unit, epsilon, delta, q, z and T together, whose noise that is, and refuses what nobody can hide', async () => {
  const path = join(folder, 'private.json')
  await call(['fed', 'new', '-o', path])
  const privacy = { unit: 'record', epsilon: 8, delta: 1e-5, clip: 1, sample_rate: 0.2 }
  const clusters = ['north', 'south', 'west'].map((name) => ({ name, sites: [0, 1, 2].map((at) => `${name}-${at}`) }))
  const made = JSON.parse(readFileSync(path, 'utf8')) as object
  const checked = (changes: object): ReturnType<typeof call> => {
    const plan = { ...made, local: { steps: 1, batch: 'full', lr: 0.5 }, clusters, ...changes }
    writeFileSync(path, JSON.stringify(plan))
    return call(['fed', 'check', path])
  }
  const said = await checked({ privacy })
  expect(said.status).toBe(0)
  expect(said.stderr).toMatch(
    /one record: epsilon 8 at delta 0\.00001 .* q 0\.2, z 0\.\d+ and T 20; with 9 sites the noise of 9/,
  )
  expect(said.stderr).toMatch(/hidden in the sum of all 3/)
  const few = await checked({ privacy: { ...privacy, colluders: 3 } })
  expect([few.status, few.stderr.includes('leaves nobody whose noise counts')]).toEqual([2, true])
  const three = await checked({ privacy: { ...privacy, colluders: 3 }, clusters: undefined })
  expect([three.status, three.stderr.includes('takes more than 3 sites')]).toEqual([0, true])
})
