/** What a part needs, in graphs made to be nasty: one case for each thing that goes wrong. All are run by the engine. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { assignParts, blocksOf } from '../../../src/onnx/cut/index.ts'
import { checkModel, NO_ENTRIES } from '../../../src/onnx/ir/index.ts'
import { facts, floats, graph, int64s, model, node, tensorType } from './support/build.ts'
import { expectEqualEverywhere, split } from './support/chain.ts'

let directory: string
beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-traps-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

const F = tensorType('float32', ['n', 4])
const I2 = tensorType('int64', [2])
const SCALAR = tensorType('float32', [])
const names = (values: readonly { readonly name: string }[]): string[] => values.map(({ name }) => name)

describe('1: what subgraphs capture', () => {
  it('is needed by their node, also two levels down and where a branch returns it as it is', async () => {
    const inner = (op: string) => graph({ nodes: [node(op, ['b'], [`i${op}`])], outputs: { [`i${op}`]: F } })
    const deep = graph({
      nodes: [node('If', ['c'], ['d'], { then_branch: inner('Neg'), else_branch: inner('Abs') })],
      outputs: { d: F },
    })
    const types = { x: F, a: F, b: F, s: SCALAR, c: tensorType('bool', []), y: F, z: F }
    const made = model({
      inputs: { x: F },
      outputs: { z: F },
      initializers: [floats('zero', [], [0])],
      nodes: [
        node('Relu', ['x'], ['a']),
        node('Sigmoid', ['x'], ['b']),
        node('ReduceSum', ['a', ''], ['s'], { keepdims: 0 }),
        node('Greater', ['s', 'zero'], ['c']),
        node('If', ['c'], ['y'], { then_branch: deep, else_branch: graph({ nodes: [], outputs: { a: F } }) }),
        node('Neg', ['y'], ['z']),
      ],
    })
    const blocks = await expectEqualEverywhere(directory, made, types)
    const { parts } = split(blocks, types, [blocks.starts.length - 3])
    expect(names(parts[1]!.inputs)).toEqual(expect.arrayContaining(['a', 'b', 'c']))
  })
})

describe('2: weight preparation at the head of the list', () => {
  const types = { x: F, w1: F, w2: F, c: F, a: F, b: F, y: F }
  const made = model({
    inputs: { x: F },
    outputs: { y: F },
    initializers: [
      floats(
        'w',
        [4, 4],
        Array.from({ length: 16 }, (_, at) => at / 16),
      ),
    ],
    nodes: [
      node('Constant', [], ['c'], { value: floats('', [4], [1, 2, 3, 4]) }),
      node('Transpose', ['w'], ['w1'], { perm: [1, 0] }),
      node('Mul', ['w1', 'c'], ['w2']),
      node('MatMul', ['x', 'w2'], ['a']),
      node('Relu', ['a'], ['b']),
      node('MatMul', ['b', 'w2'], ['y']),
    ],
  })

  it('is made again in each part that needs it, and not sent', async () => {
    const blocks = await expectEqualEverywhere(directory, made, types)
    expect(blocks.order).toEqual([3, 4, 5])
    const { parts } = split(blocks, types, [1, 2])
    expect(parts.map(({ inputs }) => names(inputs))).toEqual([['x'], ['a'], ['b']])
    expect(parts.map(({ repeated }) => repeated)).toEqual([[0, 1, 2], [], [0, 1, 2]])
  })

  it('is divided like any other work where it is all that there is', async () => {
    const constants = model({
      outputs: { y: F },
      initializers: [
        floats(
          'w',
          [4, 4],
          Array.from({ length: 16 }, (_, at) => at / 16),
        ),
      ],
      nodes: [node('MatMul', ['w', 'w'], ['a']), node('Relu', ['a'], ['b']), node('MatMul', ['b', 'w'], ['y'])],
    })
    const square = tensorType('float32', [4, 4])
    const blocks = await expectEqualEverywhere(directory, constants, { a: square, b: square, y: square })
    expect(blocks.order).toHaveLength(3)
  })
})

describe('4: shapes', () => {
  it('are computed from what is there, and sent only where it is not', async () => {
    const types = { x: F, big: F, s: I2, m: F, a: F, b: F, t: I2, k: F, y: F }
    const made = model({
      inputs: { x: F },
      outputs: { y: F },
      nodes: [
        node('Shape', ['x'], ['s']),
        node('ConstantOfShape', ['s'], ['m'], { value: floats('', [1], [0.5]) }),
        node('Relu', ['x'], ['a']),
        node('Abs', ['a'], ['b']),
        node('Shape', ['b'], ['t']),
        node('ConstantOfShape', ['t'], ['k'], { value: floats('', [1], [2]) }),
        node('Sum', ['b', 'm', 'k'], ['y']),
      ],
    })
    const wide = facts(Object.entries(types))
    const costly = {
      ...wide,
      bytes: (name: string) => (['x', 'm', 'a', 'b', 'k', 'y'].includes(name) ? 1e6 : wide.bytes(name)),
    }
    const blocks = blocksOf(checkModel(made), costly, false)
    const parts = assignParts(blocks, costly, [2])
    // The mask is remade from the shape that is sent; the other shape is that of a value which is sent anyway.
    expect(parts[1]!.inputs).toEqual([
      { name: 'b', from: 0 },
      { name: 's', from: 0 },
    ])
    expect(parts[1]!.nodes).toEqual([1, 4, 5, 6])
    await expectEqualEverywhere(directory, made, types)
  })
})

describe('7: names', () => {
  it('are identities: integers, dots, Unicode in two forms, the names of objects, tied weights', async () => {
    const w = floats(
      '10',
      [4, 4],
      Array.from({ length: 16 }, (_, at) => at),
    )
    const made = model({
      inputs: { '2': F, '1': F },
      outputs: { constructor: F },
      initializers: [w, { ...w, name: 'é' }, { ...w, name: 'e\u0301' }],
      nodes: [
        node('MatMul', ['2', 'é'], ['toString']),
        node('MatMul', ['toString', 'e\u0301'], ['hasOwnProperty']),
        node('MatMul', ['hasOwnProperty', '10'], ['a/b:0']),
        node('MatMul', ['a/b:0', '10'], ['ö']),
        node('Add', ['ö', '1'], ['o\u0308']),
        node('Relu', ['o\u0308'], ['constructor']),
      ],
    })
    const values = ['2', '1', 'toString', 'hasOwnProperty', 'a/b:0', 'ö', 'o\u0308', 'constructor']
    const types = Object.fromEntries(values.map((name) => [name, F]))
    const blocks = await expectEqualEverywhere(directory, made, types)
    const { parts } = split(blocks, types, [3])
    // A weight that two parts share is in both.
    expect(parts.map(({ initializers }) => [...initializers].sort())).toEqual([['10', 'e\u0301', 'é'].sort(), ['10']])
  })

  it('do not cross where the binding cannot hold them', () => {
    const made = model({
      inputs: { x: F },
      outputs: { y: F },
      nodes: [node('Relu', ['x'], ['__proto__']), node('Abs', ['__proto__'], ['y'])],
    })
    const types = facts([
      ['x', F],
      ['__proto__', F],
      ['y', F],
    ])
    expect(blocksOf(checkModel(made), types, false).positions.sendable).toBe(0)
  })
})

describe('8: what no node makes or reads', () => {
  it('stays: outputs that are inputs or initializers, and unused inputs; unused initializers go', async () => {
    const made = model({
      inputs: { x: F, unused: F },
      outputs: { y: F, mid: F, x: F, w: tensorType('float32', [4]) },
      initializers: [floats('w', [4], [1, 2, 3, 4]), floats('waste', [4], [0, 0, 0, 0])],
      nodes: [
        node('Relu', ['x'], ['mid']),
        node('Clip', ['mid', '', ''], ['b']),
        node('Abs', ['x'], ['dead']),
        node('Add', ['b', 'w'], ['y']),
      ],
    })
    const types = { x: F, unused: F, mid: F, b: F, y: F, dead: F }
    const blocks = await expectEqualEverywhere(directory, made, types)
    const { models } = split(blocks, types, [2])
    expect(names(models[0]!.inputs)).toEqual(['x', 'unused'])
    expect(names(models[0]!.outputs)).toEqual(['mid', 'x', 'b'])
    expect(names(models[1]!.outputs)).toEqual(['y', 'w'])
    expect(models.map((part) => [...part.model.graph.initializers.keys()])).toEqual([[], ['w']])
    expect(models.flatMap((part) => part.model.graph.nodes.map(({ opType }) => opType))).toEqual([
      'Relu',
      'Clip',
      'Add',
    ])
  })
})

describe('9: what travels with a part', () => {
  it('is what its nodes call, the operator sets, and tensors that skip parts', async () => {
    const body = { overload: '', attributes: [], defaults: NO_ENTRIES, values: NO_ENTRIES, metadata: NO_ENTRIES }
    const call = (opType: string, from: string, to: string) => node(opType, [from], [to], {}, 'own')
    const twice = {
      ...body,
      name: 'Twice',
      domain: 'own',
      inputs: ['a'],
      outputs: ['b'],
      opsets: new Map([
        ['', 21],
        ['own', 1],
      ]),
      nodes: [call('Once', 'a', 'm'), call('Once', 'm', 'b')],
    }
    const once = {
      ...body,
      name: 'Once',
      domain: 'own',
      inputs: ['a'],
      outputs: ['b'],
      opsets: new Map([['', 21]]),
      nodes: [node('Neg', ['a'], ['b'])],
    }
    const made = model(
      {
        inputs: { x: F, late: F },
        outputs: { y: F },
        nodes: [
          node('Relu', ['x'], ['a']),
          call('Twice', 'a', 'b'),
          node('Abs', ['b'], ['c']),
          node('Sigmoid', ['c'], ['d']),
          node('Sum', ['d', 'a', 'late'], ['y']),
        ],
      },
      {
        functions: [twice, once],
        opsets: new Map([
          ['', 21],
          ['own', 1],
        ]),
      },
    )
    const types = { x: F, late: F, a: F, b: F, c: F, d: F, y: F }
    const blocks = await expectEqualEverywhere(directory, made, types)
    const { parts, models } = split(blocks, types, [1, 2, 4])
    expect(models.map((part) => part.model.functions.map(({ name }) => name))).toEqual([[], ['Twice', 'Once'], [], []])
    // The skip goes from the first part to the last, and so does the late input: nobody in between has them.
    expect(parts[0]!.outputs).toEqual([{ name: 'a', to: [1, 3], ofGraph: false }])
    expect(parts[2]!.inputs).toEqual([{ name: 'b', from: 1 }])
    expect(parts[3]!.inputs).toEqual([
      { name: 'd', from: 2 },
      { name: 'a', from: 0 },
      { name: 'late', from: 'graph' },
    ])
  })

  it('is an initializer that is an input too, in old files and new', async () => {
    const made = model(
      {
        inputs: { x: F, w: tensorType('float32', [4]) },
        outputs: { y: F },
        initializers: [floats('w', [4], [1, 2, 3, 4])],
        nodes: [node('Add', ['x', 'w'], ['a']), node('Relu', ['a'], ['b']), node('Mul', ['b', 'w'], ['y'])],
      },
      { irVersion: 3, opsets: new Map([['', 12]]) },
    )
    const types = { x: F, a: F, b: F, y: F }
    const blocks = await expectEqualEverywhere(directory, made, types)
    const { models } = split(blocks, types, [1, 2])
    expect(models.map((part) => names(part.model.graph.inputs))).toEqual([['x', 'w'], ['a'], ['b', 'w']])
    expect(models.map((part) => names(part.inputs))).toEqual([['x'], ['a'], ['b']])
  })
})

describe('masks and positions', () => {
  const MASK = tensorType('int64', ['n', 4])
  const layers = 9
  const attended = Array.from({ length: layers }, (_, at) => [
    node('Add', [`x${at}`, 'm'], [`a${at}`]),
    node('Softmax', [`a${at}`], [`x${at + 1}`]),
  ]).flat()
  const mask = [node('Cast', ['mask'], ['f'], { to: 1 }), node('Mul', ['f', 'low'], ['m'])]
  const init = { outputs: { [`x${layers}`]: F }, initializers: [floats('low', [], [-0.5])] }
  const types = Object.fromEntries(
    ['f', 'm', ...attended.flatMap(({ outputs }) => outputs)].map((name) => [name, F] as const),
  )

  it('are made in each part from an input that goes straight there', async () => {
    const made = model({ ...init, inputs: { x0: F, mask: MASK }, nodes: [...mask, ...attended] })
    const blocks = await expectEqualEverywhere(directory, made, { ...types, x0: F, mask: MASK })
    const { parts } = split(blocks, types, [6, 12])
    expect(parts.map(({ inputs }) => names(inputs))).toEqual([
      ['x0', 'mask'],
      ['x3', 'mask'],
      ['x6', 'mask'],
    ])
    expect(parts.map(({ repeated }) => repeated)).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
    ])
  })

  it('are sent like any value where the input is read for itself, as tokens are', async () => {
    const embedded = [
      node('Gather', ['table', 'mask'], ['e'], { axis: 0 }),
      node('ReduceSum', ['e', 'two'], ['x0'], { keepdims: 0 }),
    ]
    const made = model({
      ...init,
      initializers: [
        ...init.initializers,
        floats('table', [8, 2], [1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1]),
        int64s('two', [2]),
      ],
      inputs: { mask: MASK },
      nodes: [...mask, ...embedded, ...attended],
    })
    const all = { ...types, x0: F, mask: MASK, e: tensorType('float32', ['n', 4, 2]) }
    const blocks = await expectEqualEverywhere(directory, made, all)
    const { parts } = split(blocks, all, [10])
    expect(names(parts[1]!.inputs)).not.toContain('mask')
    expect(names(parts[1]!.inputs)).toContain('m')
  })
})
