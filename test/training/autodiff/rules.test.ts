/** Each rule against central differences in float64, in sizes that are drawn: to 1e-4 in float32, the bound of a training step. */
import { describe, expect, test } from 'vitest'
import { operatorsWrittenOut } from '../../../src/training/autodiff/lower/index.ts'
import { operatorsWithRules } from '../../../src/training/autodiff/rules/index.ts'
import { op } from '../../onnx/shapes/support/graphs.ts'
import { sampled } from '../../whole.ts'
import { ELEMENTWISE_CASES } from './cases/elementwise.ts'
import { ATTENTION_CASES, FUSED_CASES } from './cases/fused.ts'
import { SHAPE_CASES, SPACE_CASES } from './cases/shapes.ts'
import { check, drawn, one, precisionOf } from './support/gradient-check.ts'
import type { Case, Precision } from './support/gradient-check.ts'
import { operatorOf } from './support/reference/index.ts'

const CASES = [...ELEMENTWISE_CASES, ...SHAPE_CASES, ...SPACE_CASES, ...FUSED_CASES, ...ATTENTION_CASES]
const SEEDS = sampled([1, 2, 3, 4, 5, 6, 7, 8], 1)
const OPEN_SEEDS = sampled(SEEDS, 1)

/** What is promised of every rule. */
const SINGLE = 1e-4
/** Central differences are not better than this. */
const DOUBLE = 1e-7

function expectExact({ single, double, forward }: Precision): void {
  expect(forward).toBeLessThan(SINGLE)
  expect(single).toBeLessThan(SINGLE)
  if (double !== undefined) expect(double).toBeLessThan(DOUBLE)
}

/** Rules that ask for sizes. */
const OPEN =
  /^(?:Add|Mul\b|Clip|MatMul of|Reduce(?:Sum|Mean|Max)|Concat|Split|Slice|Gather|Pad|Expand|Einsum|Conv$|Conv of|AveragePool|Resize)/

describe('gradients are those of central differences in float64', () => {
  test.each(CASES)('%s', async (...made) => {
    for (const seed of SEEDS) expectExact(await precisionOf(drawn(made, seed)))
  })

  test.each(CASES.filter(([name]) => OPEN.test(name)))(
    '%s, with sizes that are known only when it runs',
    async (...made) => {
      for (const seed of OPEN_SEEDS) expectExact(await precisionOf({ ...drawn(made, seed), open: true }))
    },
  )

  test('of every operator that has a rule or is written out', () => {
    const held = new Set(CASES.flatMap((made) => drawn(made, 1).nodes.map(operatorOf)))
    // Subgraphs are held as graphs, each against its own differences.
    for (const name of ['If', 'Loop', 'Scan']) held.add(name)
    const all = [...operatorsWithRules(), ...operatorsWrittenOut()].map((name) => name.replace(/^:/, ''))
    expect(all.filter((name) => !held.has(name))).toEqual([])
  })
})

test.each<[string, Case, RegExp]>([
  [
    'an output that its rule does not know',
    {
      inputs: { x: [2, 4], s: [4] },
      nodes: [op('SimplifiedLayerNormalization', 'x s', 'n i', { axis: -1 }), op('Mul', 'n i', 'y')],
    },
    /output "i"/,
  ],
  [
    'a letter of Einsum that stands for two sizes',
    one('Einsum', { a: [1, 3], b: [2, 3] }, { equation: 'ij,ij->ij' }),
    /"i" of its equation/,
  ],
])('%s is refused, where a part of the gradient would be missing', async (_, given, words) => {
  const failure: unknown = await check({ ...given, type: 'float32' }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'WEFT-INF-140', why: expect.stringMatching(words) })
})
