/** A share's gradients, summed up here: what does not fit the graph is refused, and leaves nothing behind. */
import { expect, it } from 'vitest'
import type { AnyTensor, Tensor } from '../../../src/onnx/index.ts'
import { GradientSession } from '../../../src/training/parallel/gradient-session.ts'
import { gradientGraphOf, readGradientTask } from '../../../src/training/parallel/task.ts'
import { engine, floats, ints, temporaryFolder } from '../loop/support.ts'

const TASK = {
  schema: 'weft.gradient-task/1',
  task: 'multiclass',
  model: { kind: 'linear' },
  input: { type: 'float32', dims: [2] },
  outputs: 2,
  length: 1,
}

const PARAMETERS = new Map<string, AnyTensor>()
const BATCH = new Map<string, AnyTensor>([
  ['x', floats([3, 2], [1, 2, -3, 0.5, 0.1, -0.2])],
  ['target', ints([3], [0, 1, 1])],
])

async function opened(folder: string): Promise<GradientSession> {
  const graph = gradientGraphOf(readGradientTask(new TextEncoder().encode(JSON.stringify(TASK))), 6)
  for (const { name, dims } of graph.parameters) {
    const size = dims.reduce((product, each) => product * each, 1)
    PARAMETERS.set(
      name,
      floats(
        dims,
        Array.from({ length: size }, (_, at) => Math.sin(at + 1)),
      ),
    )
  }
  const needs = { engine, folder, options: { threads: 1, optimization: 'basic' as const } }
  return GradientSession.open(needs, graph, 'float32')
}

const flat = (tensors: Readonly<Record<string, Tensor>>): number[] =>
  Object.values(tensors).flatMap(({ data }) => Array.from(data, Number))

it('says the loss of each batch and the sum of a share, and begins each share with nothing', async () => {
  await using folder = await temporaryFolder()
  const session = await opened(folder.path)
  session.begin(PARAMETERS)
  const loss = await session.add(BATCH, 0.5)
  expect(loss).toBeGreaterThan(0)
  const half = flat(session.tell(true))
  expect(half.some((value) => value !== 0)).toBe(true)
  expect(await session.add(BATCH, 0.5)).toBe(loss)
  expect(await session.add(BATCH, 0.5)).toBe(loss)
  expect(flat(session.tell(true))).toEqual(half.map((value) => Math.fround(2 * value)))
  expect(flat(session.tell(true)).every((value) => value === 0)).toBe(true)
  await session.close()
})

it.each<[string, (good: ReadonlyMap<string, AnyTensor>) => ReadonlyMap<string, AnyTensor>, RegExp]>([
  ['a missing tensor', (good) => new Map([...good].slice(0, 1)), /target is missing/],
  ['one too many', (good) => new Map([...good, ['sum/x', floats([1], [1])]]), /does not take/],
  ['another width', (good) => new Map([...good, ['x', floats([3, 1], [1, 2, 3])]]), /x is float32 \[3, 1\]/],
  ['another rank', (good) => new Map([...good, ['x', floats([6], [1, 2, 3, 4, 5, 6])]]), /x is float32 \[6\]/],
  ['another type', (good) => new Map([...good, ['target', floats([3], [0, 1, 1])]]), /target is float32/],
  [
    'texts',
    (good) => new Map([...good, ['target', { type: 'string', dims: [3], data: ['a', 'b', 'c'] }]]),
    /target is string/,
  ],
  ['rows of two numbers', (good) => new Map([...good, ['target', ints([2], [0, 1])]]), /target is int64 \[2\]/],
  [
    'no rows',
    () =>
      new Map([
        ['x', floats([0, 2], [])],
        ['target', ints([0], [])],
      ]),
    /x is float32 \[0, 2\]/,
  ],
])('%s is refused, and the share goes on without it', async (_, change, why) => {
  await using folder = await temporaryFolder()
  const session = await opened(folder.path)
  session.begin(PARAMETERS)
  await session.add(BATCH, 1)
  await expect(session.add(change(BATCH), 1)).rejects.toMatchObject({
    code: 'WEFT-INF-131',
    why: expect.stringMatching(why),
  })
  const told = flat(session.tell(true))
  await session.add(BATCH, 1)
  expect(flat(session.tell(true))).toEqual(told)
  await session.close()
})

it('parameters of another shape, name or number are refused, and so is a batch before any', async () => {
  await using folder = await temporaryFolder()
  const session = await opened(folder.path)
  await expect(session.add(BATCH, 1)).rejects.toMatchObject({ code: 'WEFT-INF-131', why: 'no step has begun' })
  const [first, second] = [...PARAMETERS] as [[string, AnyTensor], [string, AnyTensor]]
  const odd = [
    new Map([first]),
    new Map([first, ['other', second[1]]]),
    new Map([first, [second[0], floats([1], [1])]]),
    new Map([...PARAMETERS, ['more', floats([1], [1])]]),
  ]
  for (const each of odd) expect(() => session.begin(each)).toThrow(expect.objectContaining({ code: 'WEFT-INF-131' }))
  session.begin(PARAMETERS)
  await expect(session.add(BATCH, NaN)).rejects.toMatchObject({ code: 'WEFT-INF-131' })
  await expect(session.add(BATCH, 2)).rejects.toMatchObject({ code: 'WEFT-INF-131' })
  await session.close()
})
