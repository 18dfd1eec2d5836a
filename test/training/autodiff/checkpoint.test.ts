/** Activations within a budget: the same gradients, and nodes that really run a second time. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createOrtEngine, readModel, writeModel } from '../../../src/onnx/index.ts'
import type { Model } from '../../../src/onnx/index.ts'
import { operatorsWrittenOut } from '../../../src/training/autodiff/lower/index.ts'
import { operatorsWithRules } from '../../../src/training/autodiff/rules/index.ts'
import { differentiate } from '../../../src/training/index.ts'
import { model, tensor, value } from '../../onnx/ir/support/build.ts'
import { op } from '../../onnx/shapes/support/graphs.ts'
import { floats, load, numbers } from './support/gradient-check.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-checkpoint-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const [LAYERS, WIDTH, BATCH] = [12, 4, 8]

/** Tanh after Tanh; the first value goes to the end too. */
function deep(random = false): Model {
  const names = Array.from({ length: LAYERS }, (_, layer) => `w${layer}`)
  const nodes = names.flatMap((name, layer) => [
    op('MatMul', `${layer === 0 ? 'x' : `t${layer - 1}`} ${name}`, `m${layer}`),
    op('Tanh', `m${layer}`, `t${layer}`),
  ])
  const draws = random ? [op('RandomUniformLike', 'last', 'noise'), op('Mul', 'last noise', 'mixed')] : []
  return model({
    nodes: [
      ...nodes,
      op('Add', `t${LAYERS - 1} t0`, 'last'),
      ...draws,
      op('ReduceMean', random ? 'mixed' : 'last', 'loss', { keepdims: 0 }),
    ],
    inputs: [value('x', ['batch', WIDTH])],
    outputs: [value('loss', [])],
    initializers: new Map(
      names.map((name, layer) => [
        name,
        tensor(name, 'float32', [WIDTH, WIDTH], Float32Array.from(numbers(WIDTH * WIDTH, layer))),
      ]),
    ),
  })
}

const sizes = new Map([['batch', BATCH]])
/** Of one value [batch, width]. */
const BYTES = BATCH * WIDTH * 4

describe('with a budget', () => {
  test('gradients have the same bits, and the engine does not merge what is computed again', async () => {
    const plain = differentiate(deep(), { loss: 'loss' })
    const tight = differentiate(deep(), { loss: 'loss', checkpoint: { bytes: 8 * BYTES, sizes } })
    expect(plain.recomputed).toBe(0)
    expect(tight.recomputed).toBeGreaterThan(LAYERS)
    const feeds = { x: floats('float32', [BATCH, WIDTH], numbers(BATCH * WIDTH)) }
    const [first, second] = [await load(plain.model), await load(tight.model)]
    const expected = await first.run(feeds, [...plain.gradients.values()])
    const found = await second.run(feeds, [...tight.gradients.values()])
    for (const [name, output] of plain.gradients) {
      expect(found[tight.gradients.get(name)!]!.data, name).toEqual(expected[output]!.data)
    }
    await first.release()
    await second.release()
    const count = async (made: Model): Promise<number> => {
      const [path, optimized] = [join(base, 'graph.onnx'), join(base, 'optimized.onnx')]
      await writeModel(made, path)
      const graph = await createOrtEngine().load(path, {
        threads: 1,
        optimization: 'extended',
        savePrepacked: optimized,
      })
      await graph.release()
      return (await readModel(optimized)).graph.nodes.filter(({ opType }) => opType === 'Tanh').length
    }
    const copies = tight.model.graph.nodes.filter(({ opType }) => opType === 'Tanh').length - LAYERS
    expect(copies).toBeGreaterThan(LAYERS / 2)
    expect(await count(plain.model)).toBe(LAYERS)
    expect(await count(tight.model)).toBe(LAYERS + copies)
  })

  test('that is large enough nothing is computed again, and one that is too small is refused', () => {
    expect(differentiate(deep(), { loss: 'loss', checkpoint: { bytes: 100 * BYTES, sizes } }).recomputed).toBe(0)
    expect(() => differentiate(deep(), { loss: 'loss', checkpoint: { bytes: 2 * BYTES, sizes } })).toThrow(
      /activations need \d+ bytes/,
    )
  })

  test('nothing is drawn a second time', () => {
    const { model: made, recomputed } = differentiate(deep(true), {
      loss: 'loss',
      checkpoint: { bytes: 9 * BYTES, sizes },
    })
    expect(recomputed).toBeGreaterThan(0)
    expect(made.graph.nodes.filter(({ opType }) => opType === 'RandomUniformLike')).toHaveLength(1)
  })
})

test('docs/training.md names every operator that has a rule', () => {
  const page = readFileSync(new URL('../../../docs/training.md', import.meta.url), 'utf8')
  const words = new Set(page.split(/[^\w:.]+/))
  const all = [...operatorsWithRules(), ...operatorsWrittenOut()].map((name) => name.split(':')[1]!)
  expect(all.filter((name) => !words.has(name) && !words.has(`com.microsoft:${name}`))).toEqual([])
  expect(all.length).toBeGreaterThan(120)
})
