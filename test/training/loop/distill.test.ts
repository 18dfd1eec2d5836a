/** weft train by distillation: what is learnt from another model, to the end, from the middle, and what is refused. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readModel, writeModel } from '../../../src/onnx/index.ts'
import type { Node } from '../../../src/onnx/index.ts'
import { GraphMaker } from '../../../src/training/graph/graph-maker.ts'
import { CLOUDS, temporaryFolder, train, writeClouds, writePlan } from './support.ts'
import type { Folder } from './support.ts'

const SOFT = {
  model: { kind: 'mlp', hidden: [4], activation: 'tanh' },
  loss: { kind: 'distillation', temperature: 2 },
  teacher: { path: 'teacher/model.onnx' },
  epochs: 8,
}

/** A teacher, and the plan of who learns from it. */
async function taught(folder: Folder, change: object = {}): Promise<string> {
  await train(folder, await writeClouds(folder), { out: folder.at('teacher') })
  return writePlan(folder, { ...CLOUDS, ...SOFT, ...change })
}

const model = (folder: Folder, run: string): Promise<Buffer> => readFile(folder.at(`${run}/model.onnx`))

test('a smaller model comes to say what its teacher says, and is alone in the file', async () => {
  await using folder = await temporaryFolder()
  const { curve, result } = await train(folder, await taught(folder))
  const [first, last] = [curve[0]!, curve.at(-1)!]
  // KL is 0 where both say the same; the labels are noisy, so their loss is not.
  expect(last.loss).toBeLessThan(0.2 * first.loss)
  expect(last.loss).toBeGreaterThan(0)
  expect(last.validation?.loss).toBeGreaterThan(last.loss)
  expect(result.metrics.test!.auc).toBeGreaterThan(0.95)
  const { graph } = await readModel(folder.at('run/model.onnx'))
  const names = [...graph.initializers.keys(), ...graph.nodes.flatMap(({ outputs }) => outputs)]
  expect(names.filter((name) => name.includes('teacher'))).toEqual([])
  expect(JSON.parse(await readFile(folder.at('run/plan.json'), 'utf8'))).toMatchObject({
    teacher: { path: folder.at('teacher/model.onnx') },
  })
})

test('the share of the labels counts', async () => {
  await using folder = await temporaryFolder()
  await train(folder, await taught(folder), { out: folder.at('soft') })
  const mixed = await writePlan(folder, { ...CLOUDS, ...SOFT, loss: { ...SOFT.loss, share: 0.5 } })
  const { curve } = await train(folder, mixed, { out: folder.at('mixed') })
  expect((await model(folder, 'mixed')).equals(await model(folder, 'soft'))).toBe(false)
  // Half of a loss that the noise of the labels keeps up.
  expect(curve.at(-1)!.loss).toBeGreaterThan(0.3 * curve.at(-1)!.validation!.loss!)
})

test('a run that was ended goes on to the same bits, and not with another teacher', async () => {
  await using folder = await temporaryFolder()
  await taught(folder)
  const own = await readModel(folder.at('teacher/model.onnx'))
  // A second output of the same sizes.
  const more = new GraphMaker(own)
  more.output('doubled', 'float32', ['batch'], more.op('Add', ['scores', 'scores']))
  await writeModel(more.model(), folder.at('teacher/model.onnx'))
  const teaching = await readModel(folder.at('teacher/model.onnx'))
  const plan = await writePlan(folder, { ...CLOUDS, ...SOFT, checkpoint: { every_steps: 5 } })
  await train(folder, plan, { out: folder.at('whole') })
  const abort = new AbortController()
  const onStep = (done: number): void => (done === 12 ? abort.abort(new Error('enough')) : undefined)
  await expect(train(folder, plan, { signal: abort.signal, onStep })).rejects.toThrow('enough')
  await train(folder, plan, { resume: true })
  expect((await model(folder, 'run')).equals(await model(folder, 'whole'))).toBe(true)

  const again = async (teacher: object): Promise<unknown> => {
    const other = await writePlan(folder, { ...CLOUDS, ...SOFT, checkpoint: { every_steps: 5 }, teacher })
    return train(folder, other, { resume: true }).catch((error: unknown) => error)
  }
  const refused = { code: 'WEFT-INF-124' }
  await train(folder, await writePlan(folder, CLOUDS), { out: folder.at('other'), seed: 9 })
  expect(await again({ path: 'other/model.onnx' })).toMatchObject(refused)
  expect(await again({ path: 'teacher/model.onnx', output: 'doubled' })).toMatchObject(refused)
  const changed = async (change: (node: Node) => Node): Promise<unknown> => {
    const { graph } = teaching
    await writeModel({ ...teaching, graph: { ...graph, nodes: graph.nodes.map(change) } }, folder.at('odd.onnx'))
    return again({ path: 'odd.onnx' })
  }
  // The same weights.
  expect(await changed((node) => (node.opType === 'Tanh' ? { ...node, opType: 'Sigmoid' } : node))).toMatchObject(
    refused,
  )
  const half = new Map([['alpha', { kind: 'float', value: 0.5 } as const]])
  expect(await changed((node) => (node.opType === 'Gemm' ? { ...node, attributes: half } : node))).toMatchObject(
    refused,
  )
  expect(await changed((node) => node)).toMatchObject({ resumed: expect.any(Number) as number })
}, 120_000)

test.each([
  ['no teacher', { teacher: undefined }, 'WEFT-INF-121', /teacher/],
  ['a teacher and another loss', { loss: { kind: 'binary-cross-entropy' } }, 'WEFT-INF-121', /teacher/],
  [
    'a task without classes',
    { task: 'regression', target: { column: 'a' }, features: [{ column: 'b' }] },
    'WEFT-INF-121',
    /loss/,
  ],
  ['other features', { features: [{ column: 'a' }] }, 'WEFT-INF-127', /the teacher takes/],
  ['probabilities', { teacher: { ...SOFT.teacher, output: 'probability' } }, 'WEFT-INF-127', /Sigmoid.*logits/],
  ['other classes', { task: 'multiclass', classes: 3 }, 'WEFT-INF-127', /3 classes/],
])('%s is refused', async (_, change, code, message) => {
  await using folder = await temporaryFolder()
  const plan = await taught(folder, change)
  await expect(train(folder, plan)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
})
