/** weft vectors gradient: the gradient of each float initializer of a file, or one coded error and nothing written. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readNpz, writeNpz } from '../../src/data/index.ts'
import { writeModel } from '../../src/onnx/index.ts'
import type { AnyTensor, Attribute, Model } from '../../src/onnx/index.ts'
import { graph, model, node, tensor, value } from '../onnx/ir/support/build.ts'
import { op } from '../onnx/shapes/support/graphs.ts'
import { call, json } from './support.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-gradient-test-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
let files = 0

const x: AnyTensor = { type: 'float32', dims: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }

/** mean((x w + b)^2) of opset 11, its weights in a file of their own. */
const linear: Model = model(
  {
    nodes: [
      op('MatMul', 'x w', 'p'),
      op('Add', 'p b', 'y'),
      op('Mul', 'y y', 'z'),
      op('ReduceMean', 'z', 'loss', { axes: [0], keepdims: 1 }),
      op('Shape', 'x', 'shape'),
      node('Det', ['square'], ['d']),
      op('Mul', 'd loss', 'strange'),
    ],
    inputs: [value('x', ['batch', 3])],
    outputs: ['loss', 'shape', 'z', 'strange'].map((name) => ({ name, type: null })),
    initializers: new Map([
      ['w', tensor('w', 'float32', [3, 1], Float32Array.of(1, 0, -1))],
      ['b', tensor('b', 'float32', [1], Float32Array.of(0.5))],
      ['square', tensor('square', 'float32', [2, 2], Float32Array.of(1, 0, 0, 1))],
      ['whole', tensor('whole', 'int64', [1], BigInt64Array.of(1n))],
    ]),
  },
  { opsets: new Map([['', 11]]) },
)

async function run(
  arrays: Readonly<Record<string, AnyTensor>>,
  loss: string,
  made: Model = linear,
): Promise<{ status: number | null; stdout: string; stderr: string; out: string }> {
  const [path, inputs, out] = ['onnx', 'in.npz', 'out.npz'].map((end) => join(base, `${files++}.${end}`)) as [
    string,
    string,
    string,
  ]
  await writeModel(made, path, { external: 'always', externalFrom: 1 })
  await writeNpz(inputs, new Map(Object.entries(arrays)))
  const answer = await call([
    'vectors',
    'gradient',
    '--in',
    path,
    '--inputs',
    inputs,
    '--loss',
    loss,
    '--out',
    out,
    '--json',
  ])
  return { ...answer, out }
}

/** sum(2 w), all of it in half precision: 0.5 is 0x3800, 1 is 0x3c00. */
const half: Model = model({
  nodes: [op('Add', 'w w', 's'), op('ReduceSum', 's', 'loss', { keepdims: 0 })],
  outputs: [{ name: 'loss', type: null }],
  initializers: new Map([['w', tensor('w', 'float16', [3], Uint16Array.of(0x3c00, 0x3800, 0x3c00))]]),
})

describe('weft vectors gradient', () => {
  it('tells the loss of a model in half precision as a number, not as its bits', async () => {
    const { status, stdout, out } = await run({ x }, 'loss', half)
    expect([status, json(stdout)]).toMatchObject([0, { loss: 5 }])
    const gradient = (await readNpz(out)).get('w')!
    expect([gradient.type, ...gradient.data]).toEqual(['float16', 0x4000, 0x4000, 0x4000])
  })

  it('writes the gradient of each float initializer under its name, and the same again', async () => {
    for (const _ of ['first', 'again']) {
      const { status, stdout, stderr, out } = await run({ x, ignored: x }, 'loss')
      expect([status, stderr]).toEqual([0, ''])
      expect(json(stdout)).toMatchObject({ schema: 'weft.vectors/1', suite: 'gradient', loss: 2.25 })
      const gradients = await readNpz(out)
      expect([...gradients.keys()]).toEqual(['w', 'b', 'square'])
      // Both rows have x w + b = -1.5: d = -1.5 (x1 + x2) and -3.
      expect([...(gradients.get('w')!.data as Float32Array)]).toEqual([-7.5, -10.5, -13.5])
      expect([...(gradients.get('b')!.data as Float32Array)]).toEqual([-3])
      expect(gradients.get('square')).toMatchObject({ dims: [2, 2], data: new Float32Array(4) })
    }
  })

  const whole: AnyTensor = { type: 'int64', dims: [2, 3], data: new BigInt64Array(6) }
  it.each<[string, Readonly<Record<string, AnyTensor>>, string, number, string]>([
    ['an unknown loss', { x }, 'nothing', 2, 'WEFT-INF-141'],
    ['a loss of two elements', { x }, 'z', 2, 'WEFT-INF-142'],
    ['a loss of whole numbers', { x }, 'shape', 2, 'WEFT-INF-143'],
    ['a constant as the loss', { x }, 'whole', 2, 'WEFT-INF-143'],
    ['an operator without a rule', { x }, 'strange', 8, 'WEFT-INF-140'],
    ['a missing input', { y: x }, 'loss', 2, 'WEFT-INF-148'],
    ['an input of another type', { x: whole }, 'loss', 2, 'WEFT-INF-148'],
    ['an input of another shape', { x: { ...x, dims: [3, 2] } }, 'loss', 2, 'WEFT-INF-148'],
  ])('given %s exits with a code, and writes nothing', async (_what, arrays, loss, status, code) => {
    const answer = await run(arrays, loss)
    expect(answer.status).toBe(status)
    expect(json(answer.stdout)).toMatchObject({ schema: 'weft.error/1', error: { code } })
    expect(existsSync(answer.out)).toBe(false)
  })

  it('takes the branch that the inputs decide, and the turns', async () => {
    const branch = (name: string, operator: string): Attribute => {
      const nodes = [node(operator, ['y'], [name])]
      return { kind: 'graph', value: graph({ name, nodes, outputs: [{ name, type: null }] }) }
    }
    const chosen: Model = {
      ...linear,
      graph: {
        ...linear.graph,
        nodes: [
          op('MatMul', 'x w', 'y'),
          op('ReduceSum', 'y', 'sum', { keepdims: 0 }),
          op('Cast', 'sum', 'flag', { to: 9 }),
          node('If', ['flag'], ['z'], { then_branch: branch('a', 'Neg'), else_branch: branch('c', 'Exp') }),
          op('ReduceSum', 'z', 'loss', { keepdims: 0 }),
        ],
        outputs: [{ name: 'loss', type: null }],
      },
    }
    const zeros: AnyTensor = { ...x, data: new Float32Array(6) }
    const [taken, other] = [await run({ x }, 'loss', chosen), await run({ x: zeros }, 'loss', chosen)]
    expect([taken.status, other.status]).toEqual([0, 0])
    expect([...((await readNpz(taken.out)).get('w')!.data as Float32Array)]).toEqual([-5, -7, -9])
    expect([...((await readNpz(other.out)).get('w')!.data as Float32Array)]).toEqual([0, 0, 0])
  })

  it('turns as often as the inputs make a loop that may end early, and no more than it may', async () => {
    const body = graph({
      name: 'body',
      inputs: [value('i', [], 'int64'), value('c', [], 'bool'), { name: 'v', type: null }],
      nodes: [
        op('Add', 'v v', 'out'),
        op('ReduceSum', 'out', 'total', { keepdims: 0 }),
        op('Greater', 'total floor', 'more'),
      ],
      outputs: [value('more', [], 'bool'), { name: 'out', type: null }],
    })
    const turning: Model = {
      ...linear,
      graph: {
        ...linear.graph,
        nodes: [
          op('MatMul', 'x w', 'y'),
          node('Loop', ['most', 'yes', 'y'], ['z'], { body: { kind: 'graph', value: body } }),
          op('ReduceSum', 'z', 'loss', { keepdims: 0 }),
        ],
        outputs: [{ name: 'loss', type: null }],
        initializers: new Map([
          ...linear.graph.initializers,
          ['most', tensor('most', 'int64', [], BigInt64Array.of(4n))],
          ['yes', tensor('yes', 'bool', [], Uint8Array.of(1))],
          ['floor', tensor('floor', 'float32', [], Float32Array.of(-20))],
        ]),
      },
    }
    const small: AnyTensor = { ...x, data: (x.data as Float32Array).map((each) => each / 4) }
    const [three, four] = [await run({ x }, 'loss', turning), await run({ x: small }, 'loss', turning)]
    expect([three.status, four.status]).toEqual([0, 0])
    // Sums of -8, -16 and -32: doubled three times. Of a quarter, four times.
    expect([...((await readNpz(three.out)).get('w')!.data as Float32Array)]).toEqual([40, 56, 72])
    expect([...((await readNpz(four.out)).get('w')!.data as Float32Array)]).toEqual([20, 28, 36])
  })

  it('needs all four options', async () => {
    const { status, stderr } = await call(['vectors', 'gradient', '--in', 'model.onnx'])
    expect([status, stderr]).toEqual([2, expect.stringContaining('--inputs')])
  })
})
