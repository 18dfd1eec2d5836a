/** Archives parted by an array of theirs: nobody is on both sides. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { writeNpz } from '../../../src/data/index.ts'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { checkPlan, loadExamples } from '../../../src/training/index.ts'
import type { Examples } from '../../../src/training/index.ts'
import { fortranNpy } from '../../data/fortran.ts'
import { zip } from '../../models/support/archives.ts'
import { floats, ints, temporaryFolder } from './support.ts'
import type { Folder } from './support.ts'

const ROWS = 60
const patients = Array.from({ length: ROWS }, (_, row) => (row * 7) % 20)
const arrays = new Map<string, AnyTensor>([
  ['x', floats([ROWS, 1], patients)],
  [
    'y',
    ints(
      [ROWS],
      patients.map(() => 1),
    ),
  ],
  ['patient', ints([ROWS], patients)],
  ['name', { type: 'string', dims: [ROWS, 1], data: patients.map((patient) => `Patientin ${patient}`) }],
  ['part', { type: 'string', dims: [ROWS], data: patients.map((patient) => (patient < 5 ? 'prüfung' : 'üben')) }],
  ['few', ints([ROWS - 1], patients.slice(1))],
  ['wide', floats([ROWS, 2], [...patients, ...patients])],
])

async function loaded(folder: Folder, split: object, path = 'x.npz'): Promise<Examples> {
  const plan = checkPlan(
    {
      schema: 'weft.train-plan/1',
      task: 'regression',
      data: { kind: 'npz', path, input: 'x', target: 'y' },
      split,
      model: { kind: 'linear' },
      optimizer: { kind: 'sgd', lr: 0.1 },
      epochs: 1,
      batch: 4,
    },
    'plan',
  )
  const needs = { folder: folder.path, scratch: folder.path, memory: 1 << 20, seed: 2, planPath: 'plan' }
  return loadExamples(plan, needs)
}

/** The patients of each part. */
async function sidesOf(examples: Examples): Promise<readonly ReadonlySet<number>[]> {
  const sides = await Promise.all(
    Object.values(examples.parts).map(async ({ rows, index }) => {
      const { x } = await rows.take(index)
      return new Set(x!.data as Float32Array)
    }),
  )
  await examples.close()
  return sides
}

test.each(['patient', 'name'])('each group of %s is in one part, whatever order its array has', async (group) => {
  await using folder = await temporaryFolder()
  await writeNpz(folder.at('x.npz'), arrays)
  const split = { share: { test: 0.3, validation: 0.2 }, group }
  const sides = await sidesOf(await loaded(folder, split))
  expect(sides.every(({ size }) => size > 0)).toBe(true)
  expect(sides.reduce((sum, { size }) => sum + size, 0)).toBe(20)
  if (group === 'name') return
  const files = ['x', 'y', 'patient'].map((name) => {
    const tensor = arrays.get(name)!
    if (tensor.type === 'string') throw new TypeError('no texts here')
    return { name: `${name}.npy`, data: fortranNpy(tensor, true) }
  })
  await writeFile(folder.at('f.npz'), zip(files))
  expect(await sidesOf(await loaded(folder, split, 'f.npz'))).toEqual(sides)
})

test('a value says which part a row is of', async () => {
  await using folder = await temporaryFolder()
  await writeNpz(folder.at('x.npz'), arrays)
  const sides = await sidesOf(await loaded(folder, { column: 'part', test: 'prüfung' }))
  expect([...sides[2]!].every((patient) => patient < 5)).toBe(true)
  expect(sides.map(({ size }) => size)).toEqual([15, 0, 5])
})

test.each([
  ['that is not there', 'patients', 'WEFT-DAT-012', 'did you mean'],
  ['of other rows', 'few', 'WEFT-DAT-011', 'it has 59 rows, and "x" has 60 examples'],
  ['with several values a row', 'wide', 'WEFT-INF-127', 'one value a row'],
])('a split by an array %s is refused', async (_, group, code, words) => {
  await using folder = await temporaryFolder()
  await writeNpz(folder.at('x.npz'), arrays)
  const failure: unknown = await loaded(folder, { share: { test: 0.5 }, group }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code })
  const { message, hint = '' } = failure as { message: string; hint?: string }
  expect(message + hint).toContain(words)
})
