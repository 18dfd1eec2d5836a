/** The model that weft trained end to end lies in the repository, is what its README says, and is imported like any other. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { importModel } from '../../src/models/index.ts'
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

test('it is imported as a Llama whose tokens are bytes', async () => {
  await using folder = await temporaryFolder()
  const store = await createBlobStore({ directory: folder.at('store') })
  const needs = { store, clock: systemClock(), directory: folder.at('partitions'), downloads: folder.at('downloads') }
  const { shape } = await importModel(needs, { source: at(''), name: 'weft-mite', weights: 'f32' })
  expect(shape).toMatchObject({ family: 'llama', layers: 3, width: 96, vocabulary: 256, context: 128 })
})
