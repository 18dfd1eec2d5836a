/** What a peer is told of a run: the same graph is made of it, nothing of the data is in it, and what is none is refused. */
import { describe, expect, it } from 'vitest'
import { buildForward } from '../../../src/training/graph/forward.ts'
import type { ExampleForm } from '../../../src/training/graph/forward.ts'
import { gradientGraph } from '../../../src/training/graph/step.ts'
import {
  elementsOf,
  formsOf,
  gradientGraphOf,
  gradientTaskOf,
  gradientTaskText,
  readGradientTask,
} from '../../../src/training/parallel/task.ts'
import { checkPlan } from '../../../src/training/plan/read-plan.ts'
import type { TrainPlan } from '../../../src/training/plan/schema.ts'

const feature = (kind: 'standard' | 'raw' | 'one-hot' | 'id', more: object = {}): object => ({
  column: 'a column of ours',
  kind,
  mean: 0.1 + 0.2,
  sd: 3,
  divisor: 1,
  values: [],
  names: [],
  count: 100,
  ...more,
})
const TABLE: ExampleForm = { input: { type: 'float32', dims: [3] }, outputs: 1, length: 1 }
const FEATURES = [feature('standard'), feature('one-hot', { values: [1, 2], names: ['red', 'green'] }), feature('raw')]
const IDS = [feature('id', { names: ['anna', 'bert'] }), feature('id', { names: ['x', 'y', 'z'] })]
const IMAGE: ExampleForm = { input: { type: 'uint8', dims: [1, 8, 8] }, outputs: 3, length: 1 }

function planOf(changes: object): TrainPlan {
  const plan = {
    schema: 'weft.train-plan/1',
    name: 'a name of ours',
    seed: 5,
    task: 'multiclass',
    data: { kind: 'npz', path: 'a path of ours', input: 'x' },
    optimizer: { kind: 'sgd', lr: 0.1 },
    epochs: 1,
    batch: 4,
    ...changes,
  }
  return checkPlan(plan, 'plan')
}

type Case = readonly [name: string, plan: object, examples: object]

const CASES: readonly Case[] = [
  ['a linear model', { task: 'regression', model: { kind: 'linear' } }, { ...TABLE, features: FEATURES }],
  [
    'an MLP',
    { task: 'binary', model: { kind: 'mlp', hidden: [5], activation: 'gelu' } },
    { ...TABLE, features: FEATURES },
  ],
  [
    'a loss with weights',
    { model: { kind: 'mlp', hidden: [4] }, loss: { kind: 'cross-entropy', class_weights: [1, 2, 0.3] } },
    { ...TABLE, outputs: 3 },
  ],
  ['a CNN', { model: { kind: 'cnn', channels: [4], hidden: [6] } }, IMAGE],
  ['a ResNet', { model: { kind: 'resnet', channels: [4] } }, IMAGE],
  ['a GRU', { model: { kind: 'gru', hidden: 4 } }, { input: { type: 'float32', dims: [5, 2] }, outputs: 3, length: 5 }],
  [
    'an LSTM',
    { model: { kind: 'lstm', hidden: 4 } },
    { input: { type: 'float32', dims: [5, 2] }, outputs: 3, length: 5 },
  ],
  [
    'an autoencoder',
    { task: 'autoencoder', model: { kind: 'autoencoder', hidden: [2] } },
    { ...TABLE, features: FEATURES },
  ],
  ["Cox's model", { task: 'survival', model: { kind: 'linear' }, loss: { kind: 'cox', ties: 'breslow' } }, TABLE],
  [
    'a ranking',
    { task: 'ranking', model: { kind: 'matrix-factorisation', factors: 2 } },
    { ...TABLE, input: { type: 'float32', dims: [2] }, features: IDS },
  ],
  [
    'two towers',
    { task: 'ranking', model: { kind: 'two-towers', factors: 2, hidden: [3] } },
    { ...TABLE, input: { type: 'float32', dims: [2] }, features: IDS },
  ],
  [
    'a decoder',
    { task: 'language', model: { kind: 'decoder', layers: 1, width: 8, heads: 2, tied: true } },
    { input: { type: 'int64', dims: [6] }, outputs: 11, length: 6 },
  ],
]

describe('the graph that a peer makes', () => {
  it.each(CASES)('%s: is the one of this process, whatever values it begins with', (_, changes, examples) => {
    const plan = planOf(changes)
    const form = examples as ExampleForm
    const forward = buildForward(plan, form, 5, true)
    const { bytes } = gradientTaskText(gradientTaskOf(plan, form))
    const forms = formsOf(forward)
    const made = gradientGraphOf(readGradientTask(bytes), elementsOf(forms))
    const here = gradientGraph(plan, forward)
    expect(made.parameters).toEqual(forms)
    expect(made.model.graph.nodes).toEqual(here.graph.nodes)
    expect(made.model.graph.initializers).toEqual(here.graph.initializers)
    expect([made.model.graph.inputs, made.model.graph.outputs]).toEqual([here.graph.inputs, here.graph.outputs])
    expect(new TextDecoder().decode(bytes)).not.toMatch(/of ours|anna|red/)
  })

  it('keeps what the run lets activations take', () => {
    const plan = planOf({ model: { kind: 'mlp', hidden: [64, 64, 64] } })
    const form: ExampleForm = { ...IMAGE, input: { type: 'float32', dims: [64] } }
    const activations = {
      bytes: 4 * 4 * 64 * 3,
      sizes: new Map([
        ['batch', 4],
        ['length', 1],
      ]),
    }
    const forward = buildForward(plan, form, 5, true)
    const { bytes } = gradientTaskText(gradientTaskOf(plan, form, activations))
    const made = gradientGraphOf(readGradientTask(bytes), elementsOf(formsOf(forward)))
    const here = gradientGraph(plan, forward, activations)
    expect(made.model.graph.nodes).toEqual(here.graph.nodes)
    expect(here.graph.nodes.length).toBeGreaterThan(gradientGraph(plan, forward).graph.nodes.length)
  })
})

describe('what is no task', () => {
  const plan = planOf({ model: { kind: 'mlp', hidden: [5] } })
  const good = gradientTaskOf(plan, { ...TABLE, outputs: 3 })
  const text = (value: unknown): Uint8Array =>
    new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))

  it.each<[string, unknown, RegExp]>([
    ['no JSON', '{', /no JSON/],
    ['a list', [], /expected object/],
    ['a field that is not known', { ...good, code: 'x' }, /code/],
    ['another version', { ...good, schema: 'weft.gradient-task/2' }, /schema/],
    ['a graph instead of a model', { ...good, model: { kind: 'graph', nodes: [] } }, /model/],
    ['a model file', { ...good, model: { kind: 'onnx', path: '/etc/passwd' } }, /a model file/],
    ['an adapter', { ...good, model: { kind: 'base', name: 'x' } }, /adapter/],
    ['a teacher', { ...good, loss: { kind: 'distillation' } }, /teacher/],
    ['a loss of another task', { ...good, loss: { kind: 'cox' } }, /cox is no loss/],
    ['sizes that are none', { ...good, input: { type: 'float32', dims: [-1] } }, /input.dims.0/],
    ['a type that is none', { ...good, input: { type: 'string', dims: [1] } }, /input.type/],
    ['outputs without end', { ...good, outputs: 1e300 }, /outputs/],
  ])('%s is refused', (_, value, why) => {
    expect(() => readGradientTask(text(value))).toThrow(
      expect.objectContaining({ code: 'WEFT-INF-130', why: expect.stringMatching(why) }),
    )
  })

  it('one that is larger than any is not even read', () => {
    expect(() => readGradientTask(new Uint8Array(5 * 2 ** 20))).toThrow(
      expect.objectContaining({ code: 'WEFT-INF-130' }),
    )
  })

  it('a model of more parameters than were said is not differentiated', () => {
    expect(() => gradientGraphOf(readGradientTask(text(good)), 37)).toThrow(
      expect.objectContaining({ why: 'the model has 38 parameters, and 37 were said' }),
    )
    expect(gradientGraphOf(readGradientTask(text(good)), 38).parameters).toHaveLength(4)
  })
})
