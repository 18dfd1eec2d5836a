/** Losses and optimizers as graphs, against their formulas in float64. */
import { expect, test } from 'vitest'
import { emptyModel, GraphMaker } from '../../../src/training/graph/graph-maker.ts'
import { addLoss } from '../../../src/training/losses/index.ts'
import type { LossSpec } from '../../../src/training/losses/index.ts'
import { addUpdate, next, scheduleFactor, stepInputs } from '../../../src/training/optimizers/index.ts'
import type { OptimizerSpec } from '../../../src/training/optimizers/index.ts'
import { arrayRows } from '../../../src/data/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { buildForward } from '../../../src/training/graph/forward.ts'
import { createPerExample } from '../../../src/training/loop/per-example.ts'
import { checkPlan } from '../../../src/training/plan/read-plan.ts'
import { CLOUDS, engine, floats, ints, run, temporaryFolder } from './support.ts'

const SCORES = [0.2, -1.5, 2.5, 0.1, 0, -0.3, 4, -2, 1, 0.7, 0.6, -0.5]
const [ROWS, CLASSES] = [4, 3]
const softmax = (row: readonly number[]): number[] => {
  const sum = row.reduce((all, score) => all + Math.exp(score), 0)
  return row.map((score) => Math.exp(score) / sum)
}
const rowsOf = (values: readonly number[]): number[][] =>
  Array.from({ length: ROWS }, (_, row) => values.slice(row * CLASSES, (row + 1) * CLASSES))
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

async function lossOf(
  spec: LossSpec,
  scores: Tensor,
  target: Tensor,
  more: { readonly weight?: Tensor; readonly last?: Tensor } = {},
): Promise<number> {
  const maker = new GraphMaker(emptyModel('loss'))
  const input = (name: string, tensor: Tensor): string => maker.input(name, tensor.type, tensor.dims)
  const inputs = { scores: input('scores', scores), target: input('target', target) }
  const weight = more.weight === undefined ? {} : { weight: input('weight', more.weight) }
  const last = more.last === undefined ? {} : { last: input('last', more.last) }
  maker.output('loss', 'float32', [], addLoss(maker, spec, { ...inputs, ...weight }, { classes: CLASSES, ...last }))
  const results = await run(maker.model(), { scores, target, ...more })
  return Number(results['loss']!.data[0])
}

const LABELS = [2, 0, 1, 0]
const scores = floats([ROWS, CLASSES], SCORES)
const labels = ints([ROWS], LABELS)
const logs = rowsOf(SCORES).map((row) => softmax(row).map(Math.log))

test('cross-entropy: plain, smoothed, with class weights, with an ignored label, with weights of examples', async () => {
  const plain = logs.map((row, at) => -row[LABELS[at]!]!)
  expect(await lossOf({ kind: 'cross-entropy' }, scores, labels)).toBeCloseTo(mean(plain), 5)
  const smooth = logs.map((row, at) => 0.9 * plain[at]! - (0.1 / CLASSES) * row.reduce((sum, log) => sum + log, 0))
  expect(await lossOf({ kind: 'cross-entropy', label_smoothing: 0.1 }, scores, labels)).toBeCloseTo(mean(smooth), 5)
  const weights = [1, 5, 0.5]
  const own = LABELS.map((label) => weights[label]!)
  const weighed =
    plain.reduce((sum, loss, at) => sum + loss * own[at]!, 0) / own.reduce((sum, weight) => sum + weight, 0)
  expect(await lossOf({ kind: 'cross-entropy', class_weights: weights }, scores, labels)).toBeCloseTo(weighed, 5)
  const some = ints([ROWS], [2, -100, 1, -100])
  const kept = mean([plain[0]!, plain[2]!])
  expect(await lossOf({ kind: 'cross-entropy', ignore: -100 }, scores, some)).toBeCloseTo(kept, 5)
  const weight = floats([ROWS], [0, 1, 3, 0])
  const counted = (plain[1]! + 3 * plain[2]!) / 4
  expect(await lossOf({ kind: 'cross-entropy' }, scores, labels, { weight })).toBeCloseTo(counted, 5)
})

test('binary cross-entropy keeps its digits far from 0, and can weigh the positives', async () => {
  const [z, y] = [
    [-40, 3, 0.5, 60],
    [1, 1, 0, 1],
  ]
  const each = (weight: number): number[] =>
    z.map((score, at) => (y[at] === 1 ? weight * Math.log1p(Math.exp(-score)) : Math.log1p(Math.exp(score))))
  const [inputs, target] = [floats([4], z), floats([4], y)]
  expect(await lossOf({ kind: 'binary-cross-entropy' }, inputs, target)).toBeCloseTo(mean(each(1)), 4)
  expect(await lossOf({ kind: 'binary-cross-entropy', positive_weight: 3 }, inputs, target)).toBeCloseTo(
    mean(each(3)),
    4,
  )
})

test('squares, Huber, ranking and distillation', async () => {
  const [said, right] = [
    [1, 2, -3, 0],
    [1.5, -2, -3.2, 0.9],
  ]
  const apart = said.map((value, at) => value - right[at]!)
  const [a, b] = [floats([4], said), floats([4], right)]
  expect(await lossOf({ kind: 'mse' }, a, b)).toBeCloseTo(mean(apart.map((d) => d * d)), 5)
  const bent = apart.map((d) => (Math.abs(d) <= 0.7 ? (d * d) / 2 : 0.7 * (Math.abs(d) - 0.35)))
  expect(await lossOf({ kind: 'huber', delta: 0.7 }, a, b)).toBeCloseTo(mean(bent), 5)
  expect(await lossOf({ kind: 'bpr' }, a, b)).toBeCloseTo(mean(apart.map((d) => Math.log1p(Math.exp(-d)))), 5)
  const teacher = SCORES.map((score) => Math.cos(score) * 2)
  const T = 2.5
  const soft = rowsOf(teacher).map((row) => softmax(row.map((score) => score / T)))
  const warm = rowsOf(SCORES).map((row) => softmax(row.map((score) => score / T)).map(Math.log))
  const each = soft.map((row, at) => row.reduce((sum, p, k) => sum + p * (Math.log(p) - warm[at]![k]!), 0))
  const expected = T * T * mean(each)
  expect(await lossOf({ kind: 'distillation', temperature: T }, scores, floats([ROWS, CLASSES], teacher))).toBeCloseTo(
    expected,
    5,
  )
})

test("Cox's partial likelihood: rows in order, and ties at risk together", async () => {
  const [risk, event] = [
    [0.5, -1, 2, 90],
    [1, 1, 0, 1],
  ]
  const loss = (last: readonly number[]): number =>
    mean(
      risk.map((score, at) => {
        const sum = risk.slice(0, last[at]! + 1).reduce((all, other) => all + Math.exp(other - 90), 0)
        return event[at]! * (Math.log(sum) + 90 - score)
      }),
    )
  const [s, e] = [floats([4], risk), floats([4], event)]
  expect(await lossOf({ kind: 'cox' }, s, e)).toBeCloseTo(loss([0, 1, 2, 3]), 4)
  const last = ints([4], [0, 2, 2, 3])
  expect(await lossOf({ kind: 'cox', ties: 'breslow' }, s, e, { last })).toBeCloseTo(loss([0, 2, 2, 3]), 4)
})

const BEGIN = [1, -2, 3, 0.5]
const GRADIENTS = [
  [0.5, -1, 2, 0],
  [3, 0.25, -4, 1],
  [-0.1, 0.2, 0.3, -5],
]

type Rule = (p: number, g: number, state: number[], t: number) => number

/** Published formulas, one number at a time; `state` begins as zeros. */
const CASES: readonly [OptimizerSpec, Rule][] = [
  [{ kind: 'sgd', lr: 0.1, weight_decay: 0.2 }, (p, g) => p - 0.1 * (g + 0.2 * p)],
  [
    { kind: 'sgd', lr: 0.1, momentum: 0.9 },
    (p, g, s) => {
      s[0] = 0.9 * s[0]! + g
      return p - 0.1 * s[0]
    },
  ],
  [
    { kind: 'sgd', lr: 0.1, momentum: 0.9, nesterov: true },
    (p, g, s) => {
      s[0] = 0.9 * s[0]! + g
      return p - 0.1 * (g + 0.9 * s[0])
    },
  ],
  [
    { kind: 'adamw', lr: 0.1, weight_decay: 0.3, betas: [0.8, 0.95] },
    (p, g, s, t) => {
      s[0] = 0.8 * s[0]! + 0.2 * g
      s[1] = 0.95 * s[1]! + 0.05 * g * g
      return p * (1 - 0.1 * 0.3) - (0.1 * (s[0] / (1 - 0.8 ** t))) / (Math.sqrt(s[1] / (1 - 0.95 ** t)) + 1e-8)
    },
  ],
  [
    { kind: 'adam', lr: 0.1, weight_decay: 0.3 },
    (p, first, s, t) => {
      const g = first + 0.3 * p
      s[0] = 0.9 * s[0]! + 0.1 * g
      s[1] = 0.999 * s[1]! + 0.001 * g * g
      return p - (0.1 * (s[0] / (1 - 0.9 ** t))) / (Math.sqrt(s[1] / (1 - 0.999 ** t)) + 1e-8)
    },
  ],
  [
    { kind: 'adagrad', lr: 0.1, epsilon: 1e-3 },
    (p, g, s) => {
      s[0] = s[0]! + g * g
      return p - (0.1 * g) / (Math.sqrt(s[0]) + 1e-3)
    },
  ],
  [
    { kind: 'lion', lr: 0.1, weight_decay: 0.3 },
    (p, g, s) => {
      const step = Math.sign(0.9 * s[0]! + 0.1 * g)
      s[0] = 0.99 * s[0]! + 0.01 * g
      return p * (1 - 0.03) - 0.1 * step
    },
  ],
]

test.each(CASES)('%o is its formula, over three steps', async (spec, rule) => {
  const maker = new GraphMaker(emptyModel('update'))
  const dims = [2, 2]
  const gradient = maker.input('gradient', 'float32', dims)
  const { state } = addUpdate(maker, spec, [{ name: maker.input('p', 'float32', dims), dims, gradient }])
  const model = maker.model()
  let tensors: Record<string, Tensor> = { p: floats(dims, BEGIN) }
  for (const { name } of state) tensors[name] = floats(dims, [0, 0, 0, 0])
  let expected = [...BEGIN]
  const states = BEGIN.map(() => [0, 0])
  for (const [step, g] of GRADIENTS.entries()) {
    const scalars = [...stepInputs(spec, step, spec.lr)].map(([name, value]) => [name, floats([], [value])] as const)
    const results = await run(model, { ...tensors, ...Object.fromEntries(scalars), gradient: floats(dims, g) })
    tensors = Object.fromEntries(Object.keys(tensors).map((name) => [name, results[next(name)]!]))
    expected = expected.map((p, at) => rule(p, g[at]!, states[at]!, step + 1))
    for (const [at, value] of expected.entries()) expect(tensors['p']!.data[at]).toBeCloseTo(value, 4)
  }
})

test('the norm of all gradients is clipped, and biases do not decay', async () => {
  const spec: OptimizerSpec = { kind: 'sgd', lr: 1, clip_norm: 2, weight_decay: 0.5, no_decay: ['head'] }
  const maker = new GraphMaker(emptyModel('update'))
  const shapes = { weight: [1, 2], bias: [2], 'head.weight': [1, 1] }
  const trained = Object.entries(shapes).map(([name, dims]) => ({
    name: maker.input(name, 'float32', dims),
    dims,
    gradient: maker.input(`g/${name}`, 'float32', dims),
  }))
  addUpdate(maker, spec, trained)
  const results = await run(maker.model(), {
    weight: floats([1, 2], [1, 1]),
    bias: floats([2], [1, 1]),
    'head.weight': floats([1, 1], [1]),
    'g/weight': floats([1, 2], [6, 0]),
    'g/bias': floats([2], [0, 0]),
    'g/head.weight': floats([1, 1], [8]),
    learning_rate: floats([], [1]),
  })
  expect(results['gradient_norm']!.data[0]).toBeCloseTo(10, 5)
  // 6 becomes 1.2 and 8 becomes 1.6; only the weight loses half of itself besides.
  expect([...results['weight/next']!.data].map(Number)).toEqual([expect.closeTo(-0.7, 5), expect.closeTo(0.5, 5)])
  expect([...results['bias/next']!.data]).toEqual([1, 1])
  expect(results['head.weight/next']!.data[0]).toBeCloseTo(-0.6, 5)
})

test('schedules: warm-up, cosine, line and steps', () => {
  const at = (step: number, epoch = 0) => ({ step, steps: 110, epoch })
  const cosine = { kind: 'cosine', warmup: 10, final: 0.1 } as const
  expect(scheduleFactor(cosine, at(0))).toBeCloseTo(0.1)
  expect(scheduleFactor(cosine, at(9))).toBe(1)
  expect(scheduleFactor(cosine, at(10))).toBe(1)
  expect(scheduleFactor(cosine, at(60))).toBeCloseTo(0.55)
  expect(scheduleFactor(cosine, at(110))).toBeCloseTo(0.1)
  expect(scheduleFactor({ kind: 'linear' }, at(55))).toBeCloseTo(0.5)
  expect(scheduleFactor({ kind: 'step', every: 2, factor: 0.5 }, at(1, 5))).toBe(0.25)
  expect(scheduleFactor(undefined, at(50))).toBe(1)
})

test('gradients of single examples are clipped one by one before they are summed up', async () => {
  await using folder = await temporaryFolder()
  const [X, Y] = [
    [1, 2, -3, 0.5, 0.1, -0.2],
    [1, 0, 1],
  ]
  const rows = arrayRows({ x: floats([3, 2], X), target: floats([3], Y) })
  const part = { rows, index: Uint32Array.of(0, 1, 2) }
  const close = (): Promise<void> => rows.close()
  const parts = { train: part, validation: part, test: part }
  const examples = { parts, input: rows.fields[0]!, outputs: 1, length: 1, files: [], close }
  const plan = checkPlan({ ...CLOUDS, features: undefined, model: { kind: 'linear' } }, 'plan')
  const forward = buildForward(plan, examples, 0, true)
  const per = await createPerExample({ engine, folder: folder.path, options: { threads: 1 } }, plan, forward)
  const [w, b] = [[0.5, -1], 0.25]
  const parameters = { 'dense0.weight': floats([2, 1], w), 'dense0.bias': floats([1], [b]) }
  const { sums, norms } = await per.clippedSum(parameters, await rows.take(part.index), 0.8)
  await per.close()
  // d loss / d z = sigmoid(z) - y, for each row alone.
  const gradients = Y.map((y, row) => {
    const [first, second] = [X[2 * row]!, X[2 * row + 1]!]
    const slope = 1 / (1 + Math.exp(-(first * w[0]! + second * w[1]! + b))) - y
    return [slope * first, slope * second, slope]
  })
  const lengths = gradients.map((gradient) => Math.hypot(...gradient))
  for (const [row, length] of lengths.entries()) expect(norms[row]).toBeCloseTo(length, 5)
  expect(Math.max(...lengths)).toBeGreaterThan(0.8)
  expect(Math.min(...lengths)).toBeLessThan(0.8)
  const expected = [0, 1, 2].map((at) =>
    gradients.reduce((sum, gradient, row) => sum + gradient[at]! * Math.min(1, 0.8 / lengths[row]!), 0),
  )
  const got = [...sums['dense0.weight']!.data, ...sums['dense0.bias']!.data].map(Number)
  for (const [at, value] of expected.entries()) expect(got[at]).toBeCloseTo(value, 5)
})
