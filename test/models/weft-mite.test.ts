/** The model that weft trained end to end lies in the repository, is what its README says, and is imported like any other. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createPeer } from '../../src/index.ts'
import { importModel } from '../../src/models/index.ts'
import { openFileAccess } from '../../src/models/readers/random-access.ts'
import { readSafetensors } from '../../src/models/readers/safetensors.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { readPlan } from '../../src/training/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { temporaryFolder } from '../training/loop/support.ts'

const at = (name: string): string => fileURLToPath(new URL(`../../partitions/weft-mite/${name}`, import.meta.url))
const json = async (name: string): Promise<unknown> => JSON.parse(await readFile(at(name), 'utf8'))

interface Result {
  readonly parameters: number
  readonly steps: number
  readonly metrics: { readonly test: { readonly loss: number } }
}
interface Curve {
  readonly points: readonly { readonly loss: number; readonly validation: { readonly loss: number } }[]
}

test('weft-mite has at most a million parameters, and its loss fell from epoch to epoch', async () => {
  const result = (await json('result.json')) as Result
  expect(result.parameters).toBeLessThanOrEqual(1_000_000)
  expect(result.steps).toBe(1590)
  const { points } = (await json('curve.json')) as Curve
  for (const [index, { loss, validation }] of points.entries()) {
    expect(loss).toBeLessThan(points[index - 1]?.loss ?? Math.log(256))
    expect(validation.loss).toBeLessThan(points[index - 1]?.validation.loss ?? Math.log(256))
  }
  const readme = await readFile(at('README.md'), 'utf8')
  for (const told of ['329,376', result.metrics.test.loss.toFixed(3)]) expect(readme).toContain(told)
  expect((await readPlan(at('plan.json'))).plan.model).toMatchObject({ kind: 'decoder' })
})

test('its file has as many numbers as is told, in as many bytes', async () => {
  const access = await openFileAccess(at('model.safetensors'))
  const tensors = await readSafetensors(access, 'model.safetensors')
  await access.close()
  const count = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
  expect(count).toBe(((await json('result.json')) as Result).parameters)
  const readme = await readFile(at('README.md'), 'utf8')
  for (const told of [count, access.size]) expect(readme).toContain(told.toLocaleString('en-US'))
})

test('it is imported as a Llama whose tokens are bytes', async () => {
  await using folder = await temporaryFolder()
  const store = await createBlobStore({ directory: folder.at('store') })
  const needs = { store, clock: systemClock(), directory: folder.at('partitions'), downloads: folder.at('downloads') }
  const { shape } = await importModel(needs, { source: at(''), name: 'weft-mite', weights: 'f32' })
  expect(shape).toMatchObject({ family: 'llama', layers: 3, width: 96, vocabulary: 256, context: 128 })
})

test('it goes on with a text, in letters and words, and says the same a second time', async () => {
  await using folder = await temporaryFolder()
  await using peer = await createPeer({ home: folder.at('home'), offline: true, threads: 1, logLevel: 'warn' })
  await peer.importModel(at(''), { name: 'weft-mite' })
  const asked = { model: 'weft-mite', prompt: 'The whale', maxTokens: 60, temperature: 0 }
  const { text } = await peer.generate(asked).answer()
  expect(text).toHaveLength(60)
  // Two bits a byte are English by its looks: bytes drawn at random would hardly be letters.
  expect(text.replace(/[^A-Za-z ]/g, '').length).toBeGreaterThan(50)
  expect(text.trim().split(/\s+/).length).toBeGreaterThan(5)
  expect((await peer.generate(asked).answer()).text).toBe(text)
}, 60_000)
