/** Gradients that are next to nothing beside what they are made of: rounding must not be as large as they are. */
import { expect, test } from 'vitest'
import { differentiate } from '../../../src/training/index.ts'
import { model, tensor, value } from '../../onnx/ir/support/build.ts'
import { op } from '../../onnx/shapes/support/graphs.ts'
import { floats, load, numbers } from './support/gradient-check.ts'

const [ROWS, CLASSES] = [6, 5]

/** In float64: y_i sum_j y_j (g_i - g_j), where nothing is lost. */
function closedForm(x: readonly number[], g: readonly number[]): number[] {
  const powers = x.map((each) => Math.exp(each - Math.max(...x)))
  const total = powers.reduce((sum, each) => sum + each, 0)
  const y = powers.map((each) => each / total)
  return y.map((own, i) => own * y.reduce((sum, other, j) => sum + other * (g[i]! - g[j]!), 0))
}

test.each([4, 9, 16, 30])('of a softmax whose class leads by %i', async (lead) => {
  const x = numbers(ROWS * CLASSES).map((each, at) => Math.fround(each + (at % (CLASSES + 1) === 0 ? lead : 0)))
  const g = numbers(ROWS * CLASSES, 2).map(Math.fround)
  const dims = [ROWS, CLASSES]
  const made = model({
    inputs: [value('x', dims), value('g', dims)],
    outputs: [value('loss', [])],
    nodes: [op('Softmax', 'x', 'y'), op('Mul', 'y g', 'p'), op('ReduceSum', 'p', 'loss', { keepdims: 0 })],
  })
  const { model: trained, gradients } = differentiate(made, { loss: 'loss', wrt: ['x'] })
  const run = await load(trained)
  const results = await run.run({ x: floats('float32', dims, x), g: floats('float32', dims, g) }, [
    ...gradients.values(),
  ])
  await run.release()
  const got = Array.from(results[gradients.get('x')!]!.data as Float32Array)
  for (let row = 0; row < ROWS; row++) {
    const part = (list: readonly number[]): readonly number[] => list.slice(row * CLASSES, (row + 1) * CLASSES)
    const expected = closedForm(part(x), part(g))
    const largest = Math.max(...expected.map(Math.abs))
    for (const [at, number] of part(got).entries()) {
      expect(Math.abs(number - expected[at]!) / largest).toBeLessThan(1e-5)
    }
  }
})

test.each([
  ['nowhere', [0, 0], 0],
  ['once', [0, 1], 0.25],
  ['twice, where the first of the others is cut off', [-1, 2], 0.5],
])('of what pads a vector %s', async (_, pads, expected) => {
  const made = model({
    inputs: [value('v', []), value('g', ['n'])],
    outputs: [value('loss', [])],
    nodes: [op('Pad', 'x pads v', 'y'), op('Mul', 'y g', 'p'), op('ReduceSum', 'p', 'loss', { keepdims: 0 })],
    initializers: new Map([
      ['x', tensor('x', 'float32', [100], new Float32Array(100).fill(1))],
      ['pads', tensor('pads', 'int64', [2], BigInt64Array.from(pads, BigInt))],
    ]),
  })
  const { model: trained, gradients } = differentiate(made, { loss: 'loss', wrt: ['x', 'v'] })
  const run = await load(trained)
  const count = 100 + pads[0]! + pads[1]!
  const g = Array.from({ length: count }, (_each, at) =>
    at < 99 ? 1e6 / (at + 1) : at === 99 && pads[0] === 0 ? 0.3 : 0.25,
  )
  const feeds = { v: floats('float32', [], [1]), g: floats('float32', [count], g) }
  const results = await run.run(feeds, [...gradients.values()])
  await run.release()
  expect([...results[gradients.get('v')!]!.data]).toEqual([expected])
})
