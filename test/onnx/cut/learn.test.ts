/** What no rule knows of a value, the engine is asked: type and rank, never sizes. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { learnTypes, observer, runCheck, splitOnnx } from '../../../src/onnx/index.ts'
import type { CheckTask, SplitOnnxNeeds } from '../../../src/onnx/index.ts'
import { unknownValues } from '../../../src/onnx/cut/learn.ts'
import { inferShapes } from '../../../src/onnx/shapes/index.ts'
import { writeModel } from '../../../src/onnx/ir/index.ts'
import type { Dimension, Model } from '../../../src/onnx/ir/index.ts'
import { floats, int64s, model, node, tensorType } from './support/build.ts'
import { engine } from './support/chain.ts'

let directory: string
let out: string
let observed: number
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-learn-'))
  out = join(directory, 'out')
  observed = 0
  await mkdir(out)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const needs: SplitOnnxNeeds = {
  check: (task: CheckTask) => {
    if (task.observed === true) observed++
    return runCheck({ engine }, task)
  },
}

const WIDE = floats(
  'w',
  [64, 64],
  Array.from({ length: 4096 }, (_, at) => ((at * 31) % 17) / 60 - 0.13),
)

/** In the middle a shape that is put together from those of its elements that are not zero: of who knows how many dimensions. */
function opaque(rows: Dimension): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w'], ['a']),
      node('Softmax', ['a'], ['b']),
      node('Shape', ['b'], ['shape']),
      node('Greater', ['shape', 'zero'], ['keep']),
      node('Compress', ['shape', 'keep'], ['sizes']),
      node('Reshape', ['b', 'sizes'], ['c']),
      node('MatMul', ['c', 'w'], ['d']),
      node('Softmax', ['d'], ['e']),
      node('MatMul', ['e', 'w'], ['f']),
      node('Softmax', ['f'], ['y']),
    ],
    inputs: { x: tensorType('float32', [rows, 64]) },
    outputs: { y: tensorType('float32', null) },
    initializers: [WIDE, int64s('zero', [0], [])],
  })
}

it('asks for what all else hangs on, and goes on by rules from there', async () => {
  const made = opaque('rows')
  expect(unknownValues(made)).toEqual(['c'])
  const learnt = await learnTypes(made, observer(needs, out))
  expect(observed).toBe(1)
  const { types, assumed } = inferShapes(learnt)
  expect(types.get('c')).toMatchObject({ kind: 'tensor', type: 'float32' })
  expect(types.get('e')).toMatchObject({ kind: 'tensor', type: 'float32', shape: { length: 2 } })
  expect(assumed.has('e')).toBe(true)
  expect(await readdir(out)).toEqual([])
})

it('a value of unknown rank is cut at once the engine has told it, and equal bits prove it', async () => {
  const path = join(directory, 'model.onnx')
  await writeModel(opaque('rows'), path)
  const plan = await splitOnnx(needs, path, { out, parts: 3, optimization: 'off' })
  expect(plan).toMatchObject({ check: { kind: 'equal', cases: 2 } })
  expect(plan.partitions).toHaveLength(3)
  expect(plan.partitions[2]!.inputs.map(({ shape }) => shape)).toMatchObject([{ length: 2 }])
  expect(observed).toBe(1)
  expect((await readdir(out)).sort()).toEqual(plan.files.toSorted())
})

it('is not asked where all is known', async () => {
  const path = join(directory, 'model.onnx')
  await writeModel(
    model({
      nodes: [node('Relu', ['x'], ['a']), node('Exp', ['a'], ['y'])],
      inputs: { x: tensorType('float32', [4]) },
      outputs: { y: tensorType('float32', [4]) },
    }),
    path,
  )
  await splitOnnx(needs, path, { out })
  expect(observed).toBe(0)
})

it('a rank that differs from run to run is not known', async () => {
  const made = model({
    nodes: [node('Squeeze', ['x'], ['a']), node('Exp', ['a'], ['y'])],
    inputs: { x: tensorType('float32', ['batch', 7]) },
    outputs: { y: tensorType('float32', null) },
  })
  const learnt = await learnTypes(made, observer(needs, out))
  expect(observed).toBe(1)
  expect(inferShapes(learnt).types.get('a')).toMatchObject({ kind: 'tensor', shape: null })
})

it('values are asked for one by one where all together are refused', async () => {
  const answers: (readonly string[])[] = []
  const made = model({
    nodes: [
      node('Odd', ['x'], ['a'], {}, 'made.up'),
      node('Odd', ['x'], ['b'], {}, 'made.up'),
      node('Add', ['a', 'b'], ['y']),
    ],
    inputs: { x: tensorType('float32', [3]) },
    outputs: { y: tensorType('float32', null) },
  })
  const learnt = await learnTypes(made, (_, asked) => {
    answers.push(asked)
    return Promise.resolve(asked.join() === 'b' ? new Map([['b', { type: 'float16', rank: 1 }]]) : null)
  })
  expect(answers).toEqual([['a', 'b'], ['a'], ['b']])
  expect(inferShapes(learnt).types.get('b')).toMatchObject({ kind: 'tensor', type: 'float16', shape: { length: 1 } })
})
