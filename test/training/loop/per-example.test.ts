/** Clipped sums of a batch in one run, against a run for each example. */
import { describe, expect, it } from 'vitest'
import { arrayRows, createSeeded, shuffled } from '../../../src/data/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { buildForward } from '../../../src/training/graph/forward.ts'
import { CLIP, clippedGraph, summed } from '../../../src/training/graph/step.ts'
import { createPerExample } from '../../../src/training/loop/per-example.ts'
import { openSession } from '../../../src/training/loop/sessions.ts'
import { GRADIENT_NORM, next } from '../../../src/training/optimizers/index.ts'
import { checkPlan } from '../../../src/training/plan/read-plan.ts'
import { engine, floats, ints, temporaryFolder } from './support.ts'

const PLAN = {
  schema: 'weft.train-plan/1',
  task: 'multiclass',
  data: { kind: 'npz', path: 'none', input: 'x', target: 'y' },
  optimizer: { kind: 'sgd', lr: 0.1 },
  epochs: 1,
  batch: 4,
}
/** More than a run takes. */
const COUNT = 37
const LENGTH = 6

const seeded = createSeeded(3, 'per-example')
const normal = (...dims: readonly number[]): Tensor => {
  const values = Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => seeded.normal())
  return floats(dims, values)
}
const below = (most: number, ...dims: readonly number[]): Tensor =>
  ints(
    dims,
    Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => seeded.below(most)),
  )

const TABLE = { x: normal(COUNT, 5), target: below(3, COUNT) }
const IMAGES = { x: normal(COUNT, 2, 8, 8), target: below(3, COUNT) }
// Few tokens, so that one comes twice in a text.
const TEXTS = { x: below(4, COUNT, LENGTH), target: below(4, COUNT, LENGTH) }
const DECODER = { kind: 'decoder', layers: 1, width: 8, heads: 2, kv_heads: 1, hidden: 12 }

interface Clipped {
  readonly norms: readonly number[]
  readonly sums: Readonly<Record<string, Tensor>>
}

interface Compared {
  readonly atOnce: number
  readonly batch: Clipped
  readonly single: Clipped
  /** By example: the norm of what it adds to the sum when it is alone in a run. */
  readonly added: readonly number[]
}

/** By runs that may take a batch, and by the graph of one example. */
async function clipped(
  change: object,
  feeds: Record<string, Tensor>,
  clip: number,
  first: (name: string, dims: readonly number[]) => Tensor = filled,
): Promise<Compared> {
  await using folder = await temporaryFolder()
  const plan = checkPlan({ ...PLAN, ...change }, 'plan')
  const all = arrayRows(feeds)
  const part = { rows: all, index: Uint32Array.from({ length: COUNT }, (_, row) => row) }
  const close = (): Promise<void> => all.close()
  const classes = plan.task === 'language' ? 4 : 3
  const outputs = plan.task === 'language' || plan.task === 'multiclass' ? (plan.classes ?? classes) : 1
  const parts = { train: part, validation: part, test: part }
  const examples = { parts, input: all.fields[0]!, outputs, length: LENGTH, files: [], close }
  const forward = buildForward(plan, examples, 7, true)
  const needs = { engine, folder: folder.path, options: { threads: 1 } }
  const per = await createPerExample(needs, plan, forward)
  const dimsOf = (name: string): readonly number[] => forward.model.graph.initializers.get(name)!.dims
  const parameters = Object.fromEntries(forward.parameters.map((name) => [name, first(name, dimsOf(name))]))
  const batch = await per.clippedSum(parameters, await all.take(part.index), clip)
  const added: number[] = []
  for (const row of part.index) {
    const { sums: own } = await per.clippedSum(parameters, await all.take(Uint32Array.of(row)), clip)
    added.push(Math.hypot(...Object.values(own).flatMap(({ data }) => Array.from(data, Number))))
  }
  await per.close()
  const session = await openSession(needs, 'single', clippedGraph(plan, forward))
  let sums = Object.fromEntries(
    forward.parameters.map((name) => [summed(name), floats(dimsOf(name), zeros(dimsOf(name)))]),
  )
  const norms: number[] = []
  for (const row of part.index) {
    const own = await all.take(Uint32Array.of(row))
    const results = await session.run({ ...parameters, ...sums, ...own, [CLIP]: floats([], [clip]) })
    sums = Object.fromEntries(Object.keys(sums).map((name) => [name, results[next(name)]!]))
    norms.push(Number(results[GRADIENT_NORM]!.data[0]))
  }
  await session.close()
  const single = { norms, sums: Object.fromEntries(forward.parameters.map((name) => [name, sums[summed(name)]!])) }
  return { atOnce: per.atOnce, batch, single, added }
}

const zeros = (dims: readonly number[]): number[] =>
  Array(dims.reduce((product, dim) => product * dim, 1)).fill(0) as number[]

function filled(name: string, dims: readonly number[]): Tensor {
  const own = createSeeded(11, name)
  return floats(
    dims,
    Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, () => 0.5 * own.normal()),
  )
}

const WITHIN = 2e-5
/** Of the float32 numbers that were added, which are looked at in float64. */
const ROUNDING = 1 + 1e-6

function expectAlike(batch: Clipped, single: Clipped): void {
  for (const [row, norm] of single.norms.entries()) expect(Math.abs(batch.norms[row]! / norm - 1)).toBeLessThan(WITHIN)
  for (const name of Object.keys(single.sums)) {
    const [wanted, got] = [single, batch].map(({ sums }) => sums[name]!.data as Float32Array) as [
      Float32Array,
      Float32Array,
    ]
    const apart = Math.hypot(...wanted.map((value, at) => value - got[at]!))
    expect(apart / Math.hypot(...wanted), name).toBeLessThan(WITHIN)
  }
}

/** One token over and over, each class as often as a model says it whose head is nearly nothing. */
function cancelling(): Readonly<Record<'x' | 'target', Tensor>> {
  const texts = Array.from({ length: COUNT }, () => Array(LENGTH).fill(seeded.below(3)) as number[])
  const classes = Uint32Array.from({ length: LENGTH }, (_, at) => at % 3)
  return {
    x: ints([COUNT, LENGTH], texts.flat()),
    target: ints(
      [COUNT, LENGTH],
      texts.flatMap(() => [...shuffled(classes, seeded)]),
    ),
  }
}

describe('a sum of clipped gradients', () => {
  it.each([
    ['a linear model', { model: { kind: 'linear' } }, TABLE],
    [
      'dense layers',
      {
        model: { kind: 'mlp', hidden: [7], activation: 'tanh' },
        loss: { kind: 'cross-entropy', label_smoothing: 0.1 },
      },
      TABLE,
    ],
    ['an autoencoder', { task: 'autoencoder', model: { kind: 'autoencoder', hidden: [3] } }, { x: TABLE.x }],
    ['convolutions', { model: { kind: 'cnn', channels: [3, 4], hidden: [5] } }, IMAGES],
    ['a decoder', { task: 'language', model: { ...DECODER, tied: false } }, TEXTS],
  ] as const)('of %s, many examples a run, is that of runs of one', async (_, change, feeds) => {
    const { norms } = (await clipped(change, feeds, 1)).single
    const clip = norms.toSorted((a, b) => a - b)[COUNT >> 1]!
    const { atOnce, batch, single, added } = await clipped(change, feeds, clip)
    expect(atOnce).toBeGreaterThan(1)
    expectAlike(batch, single)
    expect(Math.max(...added)).toBeLessThan(clip * ROUNDING)
  })

  it.each([
    ['an embedding that is the head too', { task: 'language', model: DECODER }, TEXTS],
    ['groups of channels that are normalised', { model: { kind: 'resnet', channels: [4] } }, IMAGES],
    ['class weights', { model: { kind: 'linear' }, loss: { kind: 'cross-entropy', class_weights: [1, 2, 3] } }, TABLE],
  ] as const)('of %s takes a run an example', async (_, change, feeds) => {
    const { atOnce, batch, single } = await clipped(change, feeds, 0.5)
    expect(atOnce).toBe(1)
    expectAlike(batch, single)
  })

  it('is clipped in full where the places of a text cancel all but a ten-thousandth', async () => {
    const first = (name: string, dims: readonly number[]): Tensor => {
      const { data } = filled(name, dims)
      return name === 'head.weight'
        ? floats(
            dims,
            Array.from(data as Float32Array, (value) => 1e-4 * value),
          )
        : filled(name, dims)
    }
    const change = { task: 'language', classes: 3, model: { ...DECODER, tied: false } }
    const clip = 1e-6
    const { atOnce, batch, single, added } = await clipped(change, cancelling(), clip, first)
    expect(atOnce).toBeGreaterThan(1)
    for (const [row, norm] of single.norms.entries()) {
      expect(norm).toBeGreaterThan(2 * clip)
      // Rounding of a single run's own sums, and what is added for that of a batch.
      expect(batch.norms[row]! / norm).toBeGreaterThan(1 - 2e-3)
      expect(batch.norms[row]! / norm).toBeLessThan(1 + 5e-2)
    }
    expect(Math.max(...added)).toBeLessThan(clip * ROUNDING)
  })

  it('of texts whose gradient is nothing is nothing, though products that cancel may come out below zero', async () => {
    const first = (name: string, dims: readonly number[]): Tensor =>
      name === 'head.weight' ? floats(dims, zeros(dims)) : filled(name, dims)
    const change = { task: 'language', classes: 3, model: { ...DECODER, tied: false } }
    const { atOnce, batch } = await clipped(change, cancelling(), 1, first)
    expect(atOnce).toBeGreaterThan(1)
    expect(Math.max(...batch.norms)).toBeLessThan(1e-2)
    for (const { data } of Object.values(batch.sums))
      expect(Math.max(...Array.from(data, Number).map(Math.abs))).toBeLessThan(1e-5)
  })
})
