/** Metrics against their definitions, pair by pair and row by row. */
import { describe, expect, test } from 'vitest'
import { createSeeded } from '../../../src/data/index.ts'
import { predicted, probabilities } from '../../../src/training/metrics/classes.ts'
import { Gauge, isBetter } from '../../../src/training/metrics/index.ts'
import type { Said } from '../../../src/training/metrics/index.ts'
import { checkPlan } from '../../../src/training/plan/read-plan.ts'
import type { MetricName } from '../../../src/training/plan/schema.ts'
import { CLOUDS } from './support.ts'

const seeded = createSeeded(1, 'metrics')
const COUNT = 60
/** Few levels, so that there are ties. */
const scores = Float32Array.from({ length: COUNT }, () => seeded.below(12) / 4 - 1)
const targets = Float64Array.from({ length: COUNT }, () => seeded.below(2))
const times = Float64Array.from({ length: COUNT }, () => 1 + seeded.below(20))

/** Of examples that come in pieces of so many rows. */
function measured(name: MetricName, said: Said, piece = said.targets.length): number | undefined {
  const gauge = new Gauge([name])
  const { width, scores, targets, times } = said
  const part = (list: ArrayLike<number>, from: number): number[] => Array.from(list).slice(from, from + piece)
  for (let from = 0; from < targets.length; from += piece) {
    gauge.add({
      width,
      scores: scores.slice(from * width, (from + piece) * width),
      targets: part(targets, from),
      ...(times && { times: part(times, from) }),
    })
  }
  return gauge.metrics(0)[name]
}

const half = (left: number, right: number): number => (left > right ? 1 : left === right ? 0.5 : 0)

test('area under the curve is the share of pairs in the right order', () => {
  let [right, pairs] = [0, 0]
  for (const [a, score] of scores.entries()) {
    for (const [b, other] of scores.entries()) {
      if (targets[a] !== 1 || targets[b] !== 0) continue
      pairs++
      right += half(score, other)
    }
  }
  expect(measured('auc', { width: 1, scores, targets })).toBeCloseTo(right / pairs, 12)
  expect(measured('auc', { width: 1, scores, targets: new Float64Array(COUNT) })).toBeUndefined()
})

test('concordance counts the pairs whose order is known', () => {
  let [right, pairs] = [0, 0]
  for (let a = 0; a < COUNT; a++) {
    for (let b = 0; b < COUNT; b++) {
      if (targets[a] !== 1 || times[a]! >= times[b]!) continue
      pairs++
      right += half(scores[a]!, scores[b]!)
    }
  }
  expect(measured('c-index', { width: 1, scores, targets, times })).toBeCloseTo(right / pairs, 12)
})

test('classes: what is said, F1 of two and of three, Brier, calibration', () => {
  const three = Float32Array.of(2, 0, 0, 0, 3, 3, -1, -1, 5)
  expect([...predicted(three, 3)]).toEqual([0, 1, 2])
  expect([...predicted(Float32Array.of(-1, 0, 1), 1)]).toEqual([0, 0, 1])
  const of = (name: MetricName, width: number, all: readonly number[], right: readonly number[]): number | undefined =>
    measured(name, { width, scores: Float32Array.from(all), targets: right })
  // Said 1, 1, 0, 1 where 1, 0, 1, 1 is right: 2 hits, 3 said, 3 there.
  expect(of('f1', 1, [1, 1, -1, 1], [1, 0, 1, 1])).toBeCloseTo(4 / 6, 12)
  expect(of('f1', 3, [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 1, 1])).toBeCloseTo((1 + 2 / 3 + 0) / 3, 12)
  const pair = [0, Math.log(3)]
  expect([...probabilities(Float32Array.from(pair), 1)]).toEqual([0.5, expect.closeTo(0.75, 6)])
  expect(of('brier', 1, pair, [1, 1])).toBeCloseTo((0.25 + 0.0625) / 2, 6)
  // Both in one bin would be 0.5; each has its own: |0.5 - 0| and |0.75 - 1|.
  expect(of('ece', 1, pair, [1, 1])).toBeCloseTo((0.5 + 0.25) / 2, 6)
  expect(measured('brier', { width: 3, scores: three, targets: [0, 1, 2] })).toBeLessThan(0.3)
})

test('examples in pieces have the metrics of all at once, bit for bit, and few of them hold on to scores', () => {
  const classes = Array.from(targets, (target, row) => target + (row % 3))
  const wide = Float32Array.from({ length: 4 * COUNT }, () => seeded.normal())
  for (const name of ['accuracy', 'f1', 'ece', 'brier'] as const) {
    const said = { width: 4, scores: wide, targets: classes }
    expect(measured(name, said, 7)).toBe(measured(name, said))
  }
  for (const name of ['accuracy', 'auc', 'c-index', 'rmse', 'f1', 'ece', 'brier'] as const) {
    const said = { width: 1, scores, targets, times }
    expect(measured(name, said, 7)).toBe(measured(name, said))
  }
  expect([new Gauge(['loss', 'perplexity']).needsScores, new Gauge(['loss', 'rmse']).needsScores]).toEqual([
    false,
    true,
  ])
})

test('an order is one of more examples than a first list has places for', () => {
  const many = Float32Array.from({ length: 5000 }, (_, row) => row)
  const right = Array.from(many, (row) => Number(row >= 2500))
  expect(measured('auc', { width: 1, scores: many, targets: right }, 512)).toBe(1)
  expect(measured('c-index', { width: 1, scores: many, targets: right, times: many.map((row) => -row) }, 512)).toBe(1)
})

test('less is better for some metrics', () => {
  expect(isBetter('loss', 1, 2, 0)).toBe(true)
  expect(isBetter('auc', 1, 2, 0)).toBe(false)
  expect(isBetter('auc', 0.8, 0.79, 0.02)).toBe(false)
})

describe('a plan', () => {
  const changed = (changes: Readonly<Record<string, unknown>>): unknown => ({ ...CLOUDS, ...changes })

  test.each<[string, unknown, string, string]>([
    ['an unknown field', changed({ epoch: 3 }), 'epoch', 'did you mean "epochs"?'],
    [
      'one inside',
      changed({ optimizer: { kind: 'sgd', lr: 1, momentun: 0.9 } }),
      'optimizer.momentun',
      'did you mean "momentum"?',
    ],
    ['one inside of an alternative', changed({ split: { every: 5, tset: 4 } }), 'split.tset', 'did you mean "test"?'],
    ['a wrong word', changed({ task: 'binry' }), 'task', 'did you mean "binary"?'],
    ['a wrong number', changed({ epochs: 0 }), 'epochs', ''],
    ['a missing field', changed({ optimizer: { kind: 'adam' } }), 'optimizer.lr', ''],
    ['an unknown kind', changed({ model: { kind: 'mlpp', hidden: [] } }), 'model.kind', ''],
    ['no object', [1], 'the whole', ''],
  ])('with %s is refused, and the place is named', (_, plan, field, hint) => {
    const refused = (): unknown => checkPlan(plan, 'plan.json')
    expect(refused).toThrow(expect.objectContaining({ code: 'WEFT-INF-121' }))
    expect(refused).toThrow(field)
    if (hint !== '') expect(refused).toThrow(expect.objectContaining({ hint }))
  })

  test('that is right is taken as it is', () => {
    expect(checkPlan(CLOUDS, 'plan.json')).toEqual(CLOUDS)
  })
})
