/** What a step makes of the values before it: they go at once, unless somebody may still read them. */
import { expect, test } from 'vitest'
import { buildForward } from '../../../src/training/graph/forward.ts'
import { stepGraph } from '../../../src/training/graph/step.ts'
import { createStepper } from '../../../src/training/loop/stepper.ts'
import type { Stepper, Tensors } from '../../../src/training/loop/stepper.ts'
import { checkPlan } from '../../../src/training/plan/read-plan.ts'
import type { TrainPlan } from '../../../src/training/plan/schema.ts'
import { engine, floats, ints, temporaryFolder } from './support.ts'

const FEEDS: Tensors = {
  x: floats([4, 3], [1, 2, -3, 0.5, 0.1, -0.2, 2, -1, 0, 1, 1, 1]),
  target: ints([4], [0, 1, 1, 0]),
}
const BATCHES = [
  { feeds: FEEDS, rows: 4 },
  { feeds: FEEDS, rows: 4 },
]

function planOf(changes: Readonly<Record<string, unknown>> = {}): TrainPlan {
  const plan = {
    schema: 'weft.train-plan/1',
    task: 'multiclass',
    classes: 2,
    data: { kind: 'npz', path: 'none', input: 'x', target: 'y' },
    model: { kind: 'mlp', hidden: [5] },
    optimizer: { kind: 'adamw', lr: 0.01, weight_decay: 0.1 },
    epochs: 1,
    batch: 'full',
    ...changes,
  }
  return checkPlan(plan, 'plan')
}

function forwardOf(plan: TrainPlan): ReturnType<typeof buildForward> {
  return buildForward(plan, { input: { type: 'float32', dims: [3] }, outputs: 2, length: 1 }, 1, true)
}

async function opened(folder: string, plan: TrainPlan): Promise<Stepper> {
  return createStepper({ engine, folder, options: { threads: 1, optimization: 'basic' } }, plan, forwardOf(plan))
}

test('values that nobody has seen are freed by the next step, and others stay as they were', async () => {
  await using folder = await temporaryFolder()
  const stepper = await opened(folder.path, planOf())
  const step = (at: number): Promise<number> => stepper.step(BATCHES.slice(0, 1), { step: at, rate: 0.01 })
  await step(0)
  expect(stepper.freed).toBe(0)
  await step(1)
  // Two layers with weight and bias, and of each the value, mean and squares.
  expect(stepper.freed).toBe(12)
  const seen = stepper.parameters
  const copy = Object.values(seen).map(({ data }) => [...data])
  await step(2)
  expect(stepper.freed).toBe(12 + 8)
  await step(3)
  expect(stepper.freed).toBe(12 + 8 + 12)
  expect(Object.values(seen).map(({ data }) => [...data])).toEqual(copy)
  const given = stepper.state
  stepper.parameters = seen
  await step(4)
  expect(stepper.freed).toBe(12 + 8 + 12)
  for (const { data } of [...Object.values(seen), ...Object.values(given)]) expect(data.length).toBeGreaterThan(0)
  await stepper.close()
})

test('sums of gradients are freed too, and a step of two equal batches is a step of one', async () => {
  await using folder = await temporaryFolder()
  const [one, two] = [await opened(folder.path, planOf()), await opened(folder.path, planOf({ accumulate: 2 }))]
  for (let step = 0; step < 3; step++) {
    const place = { step, rate: 0.01 }
    expect(await two.step(BATCHES, place)).toBeCloseTo(await one.step(BATCHES.slice(0, 1), place), 6)
  }
  // Of each step the sums of the first batch and of the last, and the values of the step before.
  expect(two.freed).toBe(3 * (4 + 4) + 2 * 12)
  const [here, there] = [one.parameters, two.parameters]
  for (const [name, { data }] of Object.entries(here)) {
    for (const [at, value] of data.entries()) expect(Number(there[name]!.data[at])).toBeCloseTo(Number(value), 5)
  }
  for (const stepper of [one, two]) await stepper.close()
})

test('a step computes nothing that it does not give, and copies nothing to give it', () => {
  const plan = planOf()
  const { nodes } = stepGraph(plan, forwardOf(plan)).model.graph
  // That of classes is for those who ask the model.
  expect(nodes.filter(({ opType }) => opType === 'Softmax')).toEqual([])
  const given = nodes.filter(({ outputs }) => outputs[0]!.endsWith('/next'))
  expect(given.map(({ opType }) => opType)).toEqual(Array.from({ length: 4 }, () => ['Add', 'Add', 'Sub']).flat())
})

test('an update passes over a weight thirteen times, and over a bias twelve', () => {
  const passes = (hidden: readonly number[]): number => {
    const plan = planOf({ model: { kind: 'mlp', hidden } })
    const { nodes } = stepGraph(plan, forwardOf(plan)).model.graph
    const isUpdate = (name: string): boolean => name.startsWith('update/') || name.endsWith('/next')
    return nodes.filter(({ outputs }) => isUpdate(outputs[0]!)).length
  }
  // Numbers that all parameters share are computed once.
  expect(passes([5, 5]) - passes([5])).toBe(13 + 12)
})
