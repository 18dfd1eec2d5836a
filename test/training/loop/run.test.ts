/** Runs from a plan to a model: what comes out, the same bits again, going on after an end, and all that is refused. */
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createSeeded, readNpz, writeNpz } from '../../../src/data/index.ts'
import { heldElements, readModel, writeModel } from '../../../src/onnx/index.ts'
import type { Tensor } from '../../../src/onnx/index.ts'
import { splitModel, inferModel } from '../../../src/peer/index.ts'
import { emptyModel, GraphMaker } from '../../../src/training/graph/graph-maker.ts'
import { evalModel } from '../../../src/training/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { isWhole } from '../../whole.ts'
import { near } from './near.ts'
import { CLOUDS, cloudsCsv, engine, floats, run, temporaryFolder, train, writeClouds, writePlan } from './support.ts'
import type { Folder } from './support.ts'

async function bytesOf(folder: Folder, ...names: readonly string[]): Promise<string[]> {
  return Promise.all(names.map(async (name) => (await readFile(folder.at(name))).toString('base64')))
}

test('a plan becomes a model that takes raw values, and its metrics are those of weft eval', async () => {
  await using folder = await temporaryFolder()
  const { result, curve } = await train(folder, await writeClouds(folder))
  expect(result).toMatchObject({ task: 'binary', parameters: 8 * 4 + 8 + 8 + 1, epochs: 4, steps: 24, stopped: false })
  expect([result.examples, curve.length]).toEqual([{ train: 96, validation: 32, test: 32 }, 4])
  expect(curve[3]!.loss).toBeLessThan(curve[0]!.loss)
  expect(result.metrics.test!.auc).toBeGreaterThan(0.9)
  expect((await readdir(folder.at('run'))).filter((name) => !name.startsWith('checkpoint')).sort()).toEqual([
    'curve.json',
    'curve.png',
    'curve.svg',
    'model.onnx',
    'plan.json',
    'preprocessing.json',
    'result.json',
  ])
  const needs = { clock: systemClock(), engine }
  const evaluation = await evalModel(needs, { model: folder.at('run'), threads: 1 })
  expect(evaluation).toMatchObject({ part: 'test', examples: 32, metrics: near(result.metrics.test!) })
  // The fourth and the fifth row of each five are for others than training: a file of them alone gives the same.
  const lines = cloudsCsv(160).trimEnd().split('\n')
  await writeFile(folder.at('test.csv'), lines.filter((_, at) => at === 0 || (at - 1) % 5 === 4).join('\n'))
  const other = await evalModel(needs, {
    model: folder.at('run/model.onnx'),
    data: [folder.at('test.csv')],
    threads: 1,
  })
  expect(other.metrics.auc).toBe(result.metrics.test!.auc)
  await expect(evalModel(needs, { model: folder.at('nowhere') })).rejects.toMatchObject({ code: 'WEFT-INF-129' })
})

test('the model is one like any other: missing values, categories and batches of any size', async () => {
  await using folder = await temporaryFolder()
  await train(folder, await writeClouds(folder))
  const model = await readModel(folder.at('run/model.onnx'))
  const { features } = JSON.parse(await readFile(folder.at('run/preprocessing.json'), 'utf8')) as {
    features: { mean: number }[]
  }
  const { mean } = features[0]!
  const x = floats([4, 3], [NaN, 4, 0, mean, 4, 0, 1, 4, NaN, 1, 4, 1])
  const { probability } = await run(model, { x })
  const [missing, same, plain, green] = [...probability!.data].map(Number)
  expect(missing).toBeCloseTo(same!, 6)
  expect(plain).not.toBe(green)
  const infer = { home: folder.at('home'), model: folder.at('run/model.onnx'), inputs: new Map([['x', x]]), threads: 1 }
  const { outputs } = await inferModel(infer, () => {}, new AbortController().signal)
  expect(outputs.get('probability')!.data).toEqual(probability!.data)
}, 60_000)

// Longer, and the way of any graph.
test.runIf(isWhole)(
  'the model is split, and the parts give its bits',
  async () => {
    await using folder = await temporaryFolder()
    await train(folder, await writeClouds(folder))
    const split = {
      home: folder.at('home'),
      model: folder.at('run/model.onnx'),
      parts: 2,
      cuts: undefined,
      out: folder.at('parts'),
      check: true,
    }
    const manifest = await splitModel(split, () => {}, new AbortController().signal)
    expect(manifest.partitions.length).toBeGreaterThan(0)
    expect(manifest).not.toHaveProperty('unchecked')
  },
  60_000,
)

test('equal seeds give equal bits, and others do not', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder)
  for (const [out, seed] of [
    ['a', 7],
    ['b', 7],
    ['c', 8],
  ] as const)
    await train(folder, plan, { out: folder.at(out), seed })
  const [a, b, c] = await bytesOf(folder, 'a/model.onnx', 'b/model.onnx', 'c/model.onnx')
  expect(a).toBe(b)
  expect(a).not.toBe(c)
})

test('a run that was ended goes on to the same bits, also in the middle of an epoch, and a second time', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder, {
    checkpoint: { every_steps: 4 },
    early_stopping: { metric: 'loss', patience: 3 },
    accumulate: 2,
    epochs: 6,
  })
  await train(folder, plan, { out: folder.at('whole') })
  const ended = { out: folder.at('ended') }
  for (const [at, resume] of [
    [6, false],
    [11, true],
  ] as const) {
    const controller = new AbortController()
    const onStep = (done: number): void => {
      if (done === at) controller.abort(new Error('enough'))
    }
    await expect(train(folder, plan, { ...ended, resume, onStep, signal: controller.signal })).rejects.toThrow('enough')
  }
  const { resumed } = await train(folder, plan, { ...ended, resume: true })
  expect(resumed).toBe(8)
  const names = ['model.onnx', 'curve.json', 'result.json']
  const [whole, again] = [
    await bytesOf(folder, ...names.map((name) => `whole/${name}`)),
    await bytesOf(folder, ...names.map((name) => `ended/${name}`)),
  ]
  expect(again).toEqual(whole)
  // Over already: nothing changes.
  await train(folder, plan, { ...ended, resume: true })
  expect(await bytesOf(folder, ...names.map((name) => `ended/${name}`))).toEqual(whole)
})

test('a run goes on with the plan in its folder, and not with other data than it began with', async () => {
  await using folder = await temporaryFolder()
  await writeFile(folder.at('b.csv'), cloudsCsv(40))
  const data = { ...CLOUDS.data, path: ['clouds.csv', 'b.csv'] }
  const plan = await writeClouds(folder, { data, checkpoint: { every_steps: 5 } })
  const end = new AbortController()
  const onStep = (done: number): void => void (done === 7 && end.abort(new Error('enough')))
  await expect(train(folder, plan, { onStep, signal: end.signal })).rejects.toThrow('enough')
  const fewer = await writeClouds(folder, { data: { ...data, path: ['clouds.csv'] } })
  await expect(train(folder, fewer, { resume: true })).rejects.toMatchObject({ code: 'WEFT-DAT-014' })
  // As numbers they are the same files, and other examples.
  const other = await writeClouds(folder, { data: { ...data, missing: ['?', 'red'] } })
  await expect(train(folder, other, { resume: true })).rejects.toMatchObject({ code: 'WEFT-INF-124' })
  expect((await train(folder, folder.at('run/plan.json'), { resume: true })).resumed).toBe(5)
}, 60_000)

test('batches whose gradients are summed up are one large batch', async () => {
  await using folder = await temporaryFolder()
  const changes = { shuffle: false, optimizer: { kind: 'sgd', lr: 0.1 }, epochs: 3 }
  await train(folder, await writeClouds(folder, { ...changes, batch: 40, accumulate: 3 }), { out: folder.at('summed') })
  await train(folder, await writeClouds(folder, { ...changes, batch: 'full' }), { out: folder.at('full') })
  const [summed, full] = await Promise.all(
    ['summed', 'full'].map((name) => readNpz(folder.at(`${name}/checkpoint-0000000003.npz`))),
  )
  for (const name of ['dense0.weight', 'dense1.bias']) {
    const [left, right] = [summed, full].map((arrays) =>
      Array.from((arrays!.get(`parameter/${name}`) as Tensor).data, Number),
    )
    for (const [at, value] of left!.entries()) expect(value).toBeCloseTo(right![at]!, 5)
  }
})

test('early stopping keeps the best epoch', async () => {
  await using folder = await temporaryFolder()
  const early_stopping = { metric: 'auc', patience: 2, least_change: 1 }
  const { result } = await train(folder, await writeClouds(folder, { early_stopping, epochs: 50 }))
  expect(result).toMatchObject({ stopped: true, epochs: 3, best_epoch: 1 })
})

test('a loss that is not finite ends the run, and step, layer and checkpoint are named', async () => {
  await using folder = await temporaryFolder()
  const optimizer = { kind: 'sgd', lr: 1e30 }
  const model = { kind: 'mlp', hidden: [8], activation: 'relu' }
  const plan = await writeClouds(folder, { optimizer, model, checkpoint: { every_steps: 1 } })
  const failed = await train(folder, plan).catch((error: unknown) => error)
  expect(failed).toMatchObject({ code: 'WEFT-INF-123', details: { epoch: 1 } })
  const { details, why } = failed as {
    details: { step: number; checkpoint: string | null; layer: string }
    why: string
  }
  expect(details.step).toBeGreaterThan(1)
  expect(details.checkpoint).toMatch(/checkpoint-\d{10}\.npz$/)
  expect(why).toMatch(/Gemm over "dense|parameter "?dense/)
  expect(await readdir(folder.at('run'))).not.toContain('model.onnx')
  const arrays = await readNpz(details.checkpoint!)
  for (const [name, { data }] of arrays)
    if (name.startsWith('parameter/')) expect(Array.from(data, Number).every(Number.isFinite)).toBe(true)
})

test('data that changes under the run, or before it goes on, is told', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder, { checkpoint: { every_steps: 3 } })
  const controller = new AbortController()
  const onStep = (done: number): void => {
    if (done === 5) controller.abort(new Error('enough'))
  }
  await expect(train(folder, plan, { onStep, signal: controller.signal })).rejects.toThrow('enough')
  await writeFile(folder.at('clouds.csv'), cloudsCsv(160).replace('red', 'green'))
  await expect(train(folder, plan, { resume: true })).rejects.toMatchObject({ code: 'WEFT-DAT-014' })
  await writeFile(folder.at('clouds.csv'), cloudsCsv(160))
  let touched = Promise.resolve()
  const touch = (done: number): void => {
    if (done === 5) touched = utimes(folder.at('clouds.csv'), 1, 1)
  }
  await expect(train(folder, plan, { resume: true, onStep: touch })).rejects.toMatchObject({ code: 'WEFT-DAT-014' })
  await touched
})

test('folders, checkpoints, labels and budgets that do not fit are refused, and nothing half-made is left', async () => {
  await using folder = await temporaryFolder()
  const plan = await writeClouds(folder)
  await expect(train(folder, plan, { resume: true })).rejects.toMatchObject({ code: 'WEFT-INF-129' })
  await train(folder, plan)
  await expect(train(folder, plan)).rejects.toMatchObject({ code: 'WEFT-INF-125' })
  const other = await writePlan(folder, { ...CLOUDS, model: { kind: 'mlp', hidden: [9] } })
  await expect(train(folder, other, { resume: true })).rejects.toMatchObject({ code: 'WEFT-INF-124' })
  await mkdir(folder.at('run/work'))
  await writeFile(folder.at('run/work/pid'), String(process.ppid))
  await expect(train(folder, plan, { resume: true })).rejects.toThrow(`by process ${process.ppid}`)
  await rm(folder.at('run/work'), { recursive: true })
  const nonsense = Buffer.from('{"schema":"weft.checkpoint/1","progress":{"step":-1}}')
  const meta = { type: 'uint8', dims: [nonsense.length], data: Uint8Array.from(nonsense) } as const
  await writeNpz(folder.at('run/checkpoint-9999999999.npz'), new Map([['meta', meta]]))
  await expect(train(folder, plan, { resume: true })).rejects.toThrow('cannot go on from')
  const out = folder.at('none')
  const refused: readonly [Readonly<Record<string, unknown>>, string][] = [
    [{ memory: 100 }, 'WEFT-INF-126'],
    [{ memory: 3000 }, 'WEFT-INF-126'],
    [{ task: 'multiclass', classes: 2, target: { column: 'a' } }, 'WEFT-DAT-013'],
    [{ metrics: ['rmse'] }, 'WEFT-INF-121'],
    [{ loss: { kind: 'cross-entropy' } }, 'WEFT-INF-121'],
    [{ loss: { kind: 'cox' } }, 'WEFT-INF-121'],
    [{ target: { column: 'lable' } }, 'WEFT-DAT-012'],
    [{ data: { kind: 'csv', path: 'missing.csv' } }, 'WEFT-DAT-010'],
    [{ split: { every: 2, test: 1 }, early_stopping: { patience: 1 } }, 'WEFT-INF-121'],
    [{ model: { kind: 'cnn' } }, 'WEFT-INF-127'],
    [{ task: 'survival' }, 'WEFT-INF-121'],
  ]
  for (const [changes, code] of refused) {
    await expect(train(folder, await writePlan(folder, { ...CLOUDS, ...changes }), { out })).rejects.toMatchObject({
      code,
    })
  }
  await writeNpz(
    folder.at('x.npz'),
    new Map([
      ['x', floats([3, 2], [1, 2, 3, 4, 5, 6])],
      ['y', floats([3], [0, 1, 2])],
      ['odd', floats([3, 2], [1, NaN, 3, 4, 5, 6])],
      ['fine', floats([3], [0, 1, 1])],
    ]),
  )
  const npz = { ...CLOUDS, features: undefined, target: undefined, task: 'multiclass', classes: 2 }
  const labels = await writePlan(folder, { ...npz, data: { kind: 'npz', path: 'x.npz', input: 'x', target: 'y' } })
  await expect(train(folder, labels, { out })).rejects.toThrow('row 2')
  const nan = await writePlan(folder, { ...npz, data: { kind: 'npz', path: 'x.npz', input: 'odd', target: 'fine' } })
  await expect(train(folder, nan, { out })).rejects.toThrow('row 0, column "1"')
  const images = floats([2, 2, 3, 4], [...Array<number>(41).fill(0), Infinity, ...Array<number>(6).fill(0)])
  await writeNpz(
    folder.at('images.npz'),
    new Map([
      ['x', images],
      ['y', floats([2], [0, 1])],
    ]),
  )
  const deep = await writePlan(folder, { ...npz, data: { kind: 'npz', path: 'images.npz', input: 'x', target: 'y' } })
  await expect(train(folder, deep, { out })).rejects.toThrow('row 1, column "1, 1, 1"')
  await writeNpz(
    folder.at('few.npz'),
    new Map([
      ['x', floats([2, 2], [1, 2, 3, 4])],
      ['y', floats([3], [0, 1, 1])],
    ]),
  )
  const few = await writePlan(folder, { ...npz, data: { kind: 'npz', path: 'few.npz', input: 'x', target: 'y' } })
  await expect(train(folder, few, { out })).rejects.toMatchObject({
    code: 'WEFT-DAT-011',
    message: expect.stringMatching(/^"y" of .*few\.npz" cannot be read: it has 3 labels, and "x" has 2 examples$/),
  })
  await writeFile(folder.at('images.idx'), Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 9]))
  await writeFile(folder.at('labels.idx'), Buffer.from([0, 0, 8, 1, 0, 0, 0, 1, 1]))
  const idx = await writePlan(folder, { ...npz, data: { kind: 'idx', images: 'images.idx', labels: 'labels.idx' } })
  await expect(train(folder, idx, { out })).rejects.toThrow(
    /labels\.idx" cannot be read: it has 1 labels, and .*images/,
  )
  expect(await readdir(folder.path)).not.toContain('none')
})

test('a model file goes on being trained, but for what is frozen; what is no model is refused', async () => {
  await using folder = await temporaryFolder()
  const maker = new GraphMaker(emptyModel('file'))
  const x = maker.input('image', 'float32', ['batch', 4])
  const first = maker.parameter(
    'first',
    [4, 3],
    Float32Array.from({ length: 12 }, (_, at) => Math.sin(at)),
  )
  const second = maker.parameter('second', [3, 1], Float32Array.of(0.1, -0.2, 0.3))
  maker.output(
    'scores',
    'float32',
    ['batch', 1],
    maker.op('MatMul', [maker.op('Relu', [maker.op('MatMul', [x, first])]), second]),
  )
  await writeModel(maker.model(), folder.at('file.onnx'))
  await writeFile(folder.at('clouds.csv'), cloudsCsv(160))
  const model = { kind: 'onnx', path: 'file.onnx', freeze: ['first'] }
  const { result, curve } = await train(folder, await writePlan(folder, { ...CLOUDS, model }))
  expect(result.parameters).toBe(3)
  expect(curve.at(-1)!.loss).toBeLessThan(curve[0]!.loss)
  const { initializers } = (await readModel(folder.at('run/model.onnx'))).graph
  const values = (name: string) => Array.from(heldElements(initializers.get(name)!) as Float32Array)
  expect(values('first')).toEqual(Array.from({ length: 12 }, (_, at) => Math.fround(Math.sin(at))))
  expect(values('second')).not.toEqual([0.1, -0.2, 0.3].map(Math.fround))
  const needs = { clock: systemClock(), engine }
  expect((await evalModel(needs, { model: folder.at('run'), threads: 1 })).metrics).toEqual(result.metrics.test)
  await writeFile(folder.at('file.onnx'), 'no model')
  const out = folder.at('other')
  await expect(train(folder, folder.at('plan.json'), { out })).rejects.toMatchObject({
    code: expect.stringMatching(/^WEFT-INF-06/),
  })
  expect(await readdir(folder.path)).not.toContain('other')
})

const seeded = createSeeded(2, 'zoo')
const IMAGES = Float32Array.from({ length: 24 * 64 }, () => seeded.normal())

/** A plan a model of the zoo, with the loss of the first and the last epoch falling. */
const ZOO: readonly [string, Readonly<Record<string, unknown>>][] = [
  ['cnn', { input: 'image', model: { kind: 'cnn', channels: [3], hidden: [4] } }],
  ['resnet', { input: 'image', model: { kind: 'resnet', channels: [2, 4] } }],
  ['gru', { input: 'sequence', model: { kind: 'gru', hidden: 4 } }],
  ['lstm', { input: 'sequence', model: { kind: 'lstm', hidden: 4 } }],
  ['autoencoder', { input: 'flat', task: 'autoencoder', model: { kind: 'autoencoder', hidden: [16, 4] } }],
  [
    'matrix-factorisation',
    {
      pairs: true,
      task: 'regression',
      target: { column: 'stars' },
      model: { kind: 'matrix-factorisation', factors: 3 },
    },
  ],
  ['two-towers', { pairs: true, task: 'ranking', model: { kind: 'two-towers', factors: 4, hidden: [8] } }],
  [
    'cox',
    {
      pairs: 'features',
      task: 'survival',
      target: { time: 'stars', event: 'seen' },
      model: { kind: 'linear' },
      loss: { kind: 'cox', ties: 'breslow' },
    },
  ],
  ['decoder', { text: true, task: 'language', model: { kind: 'decoder', layers: 1, width: 8, heads: 2, kv_heads: 1 } }],
]

test.each(ZOO)('%s is trained: its loss falls, and its file takes a batch of another size', async (_, wanted) => {
  await using folder = await temporaryFolder()
  const { input, pairs, text, ...rest } = wanted
  const dims = { image: [24, 1, 8, 8], sequence: [24, 4, 16], flat: [24, 64] }[String(input)] ?? [24, 64]
  const y = floats(
    [24],
    Array.from({ length: 24 }, (_, row) => row % 2),
  )
  const x = { type: 'float32', dims, data: IMAGES.map((value, at) => value + 3 * (Math.floor(at / 64) % 2)) } as const
  await writeNpz(
    folder.at('x.npz'),
    new Map([
      ['x', x],
      ['y', y],
    ]),
  )
  const lines = Array.from(
    { length: 60 },
    (_, row) => `u${row % 6},i${row % 5},${(row % 6) + (row % 5)},${Number(row % 4 > 0)}`,
  )
  await writeFile(folder.at('pairs.csv'), `who,what,stars,seen\n${lines.join('\n')}\n`)
  await writeFile(folder.at('text.txt'), 'abcabcabcabd'.repeat(20))
  const ids = [
    { column: 'who', ids: true },
    { column: 'what', ids: true },
  ]
  const features = pairs === 'features' ? [{ column: 'stars' }] : ids
  const data =
    text === true
      ? { data: { kind: 'text', path: 'text.txt', length: 8 } }
      : pairs === undefined
        ? { data: { kind: 'npz', path: 'x.npz', input: 'x', target: 'y' } }
        : { data: { kind: 'csv', path: 'pairs.csv' }, features }
  const base = {
    schema: 'weft.train-plan/1',
    task: 'multiclass',
    classes: 2,
    optimizer: { kind: 'adam', lr: 0.05 },
    epochs: 8,
    batch: 12,
  }
  const { curve } = await train(folder, await writePlan(folder, { ...base, ...data, ...rest }))
  expect(curve.at(-1)!.loss).toBeLessThan(curve[0]!.loss)
  const model = await readModel(folder.at('run/model.onnx'))
  const feed: Tensor =
    text === true
      ? { type: 'int64', dims: [1, 3], data: BigInt64Array.of(97n, 98n, 99n) }
      : pairs === undefined
        ? { type: 'float32', dims: [1, ...dims.slice(1)], data: IMAGES.slice(0, 64) }
        : floats(
            [1, features.length],
            features.map(() => 1),
          )
  const { scores } = await run(model, { x: feed })
  expect(scores!.dims[0]).toBe(1)
  expect(Array.from(scores!.data, Number).every(Number.isFinite)).toBe(true)
})
