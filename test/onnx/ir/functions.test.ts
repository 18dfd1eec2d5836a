/** Functions of a model inlined: the engine computes the same, and names never meet. */
import { describe, expect, it } from 'vitest'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { checkModel, inlineFunctions, readModel, renameValues, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Attribute, Model, Node, OnnxFunction } from '../../../src/onnx/ir/index.ts'
import { definition, floats, graph, model, node, value } from './support/build.ts'
import { testFolder } from './support/folder.ts'

const at = testFolder()
const engine = createOrtEngine()
const OWN = { domain: 'own' }

const float = (number: number): Attribute => ({ kind: 'float', value: number })
const reference = (name: string): Attribute => ({ kind: 'reference', name, type: 1 })
const branch = (nodes: readonly Node[], output: string): Attribute => ({
  kind: 'graph',
  value: graph({ nodes, outputs: [value(output)] }),
})

function calling(nodes: readonly Node[], ...functions: readonly OnnxFunction[]): Model {
  const opsets = new Map([
    ['', 17],
    ['own', 1],
  ])
  const ports = { inputs: [value('x')], outputs: [value('y')], initializers: new Map([['one', floats('one', 1, 1)]]) }
  return model({ nodes, ...ports }, { functions, opsets })
}

async function run(runnable: Model, x = Float32Array.of(-1, 2)): Promise<number[]> {
  await writeModel(checkModel(runnable), at('model.onnx'))
  const loaded = await engine.load(at('model.onnx'), { threads: 1 })
  const results = await loaded.run({ x: { type: 'float32', dims: [2], data: x } }, ['y'])
  await loaded.release()
  return [...(results['y']!.data as Float32Array)]
}

const LEAKY = definition({
  name: 'Leaky',
  attributes: ['slope'],
  defaults: new Map([['scale', float(4)]]),
  nodes: [
    node('LeakyRelu', ['a'], ['t'], { alpha: reference('slope') }, { name: 'n' }),
    node('Elu', ['t'], ['u'], { alpha: reference('scale') }),
    node('Add', ['u', 'a'], ['b']),
  ],
})

const CASES: readonly [string, Model][] = [
  [
    'attributes that are given, defaulted and left out',
    calling(
      [
        node('Leaky', ['x'], ['p'], { slope: float(0.5) }, OWN),
        node('Leaky', ['p'], ['q'], { scale: float(2) }, { ...OWN, name: 'n' }),
        node('Leaky', ['q'], ['y'], { slope: float(0.25), scale: float(3) }, { ...OWN, name: 'n' }),
      ],
      LEAKY,
    ),
  ],
  [
    'functions in functions, which hand attributes on',
    calling(
      [node('Twice', ['x'], ['y'], { k: float(0.5) }, OWN)],
      definition({
        name: 'Twice',
        attributes: ['k'],
        nodes: [
          node('Leaky', ['a'], ['t'], { slope: reference('k') }, OWN),
          node('Leaky', ['t'], ['b'], { slope: reference('k'), scale: reference('none') }, OWN),
        ],
      }),
      LEAKY,
    ),
  ],
  [
    'inputs that are left out, and outputs that nobody wants',
    calling(
      [node('Clipped', ['x', '', 'one'], ['', 'y'], {}, OWN)],
      definition({
        name: 'Clipped',
        inputs: ['a', 'low', 'other'],
        outputs: ['unwanted', 'b'],
        nodes: [
          node('Clip', ['a', 'low', ''], ['t']),
          node('Add', ['t', 'other'], ['b']),
          node('Neg', ['t'], ['unwanted']),
        ],
      }),
    ),
  ],
  [
    'names of the body that the graph has too, also in branches',
    calling(
      [
        node('Neg', ['x'], ['t']),
        node('Choose', ['t'], ['u'], {}, OWN),
        node('Choose', ['u'], ['b'], {}, OWN),
        node('Add', ['b', 't'], ['y']),
      ],
      definition({
        name: 'Choose',
        nodes: [
          node('ReduceSum', ['a'], ['sum'], { keepdims: { kind: 'int', value: 0n } }),
          node('Cast', ['sum'], ['c'], { to: { kind: 'int', value: 9n } }),
          node('Neg', ['a'], ['t']),
          node('If', ['c'], ['b'], {
            then_branch: branch([node('Add', ['t', 'a'], ['s']), node('Exp', ['s'], ['r'])], 'r'),
            else_branch: branch([node('Abs', ['t'], ['s'])], 's'),
          }),
        ],
      }),
    ),
  ],
  [
    'calls inside branches',
    calling(
      [
        node('ReduceMax', ['x'], ['top'], { keepdims: { kind: 'int', value: 0n } }),
        node('Cast', ['top'], ['c'], { to: { kind: 'int', value: 9n } }),
        node('If', ['c'], ['y'], {
          then_branch: branch([node('Leaky', ['x'], ['r'], { slope: float(0.5) }, OWN)], 'r'),
          else_branch: branch([node('Abs', ['x'], ['s'])], 's'),
        }),
      ],
      LEAKY,
    ),
  ],
]

describe('inlining', () => {
  it.each(CASES)('computes the same: %s', async (_, called) => {
    const inlined = inlineFunctions(checkModel(called))
    expect(inlined.functions).toEqual([])
    const expected = await run(called)
    expect(await run(inlined)).toEqual(expected)
    // Written and read, and once more: nothing is left to do.
    expect(inlineFunctions(await readModel(at('model.onnx')))).toEqual(await readModel(at('model.onnx')))
  })

  it('lets a function give an input back, or one value twice, which the engine itself refuses', async () => {
    const both = definition({ name: 'Both', outputs: ['a', 'b', 'b'], nodes: [node('Neg', ['a'], ['b'])] })
    const sums = [node('Add', ['p', 'q'], ['s']), node('Sub', ['s', 'r'], ['y'])]
    const called = calling([node('Both', ['x'], ['p', 'q', 'r'], {}, OWN), ...sums], both)
    expect(await run(inlineFunctions(checkModel(called)))).toEqual([-1, 2])
  })

  it('leaves a function that needs another version of an operator set, and what it calls', async () => {
    const opsets = new Map([
      ['', 13],
      ['own', 1],
    ])
    const old = definition({
      name: 'Old',
      nodes: [node('Leaky', ['a'], ['t'], {}, OWN), node('Neg', ['t'], ['b'])],
      opsets,
    })
    const called = calling([node('Old', ['x'], ['p'], {}, OWN), node('Leaky', ['p'], ['y'], {}, OWN)], old, LEAKY)
    const inlined = inlineFunctions(checkModel(called))
    expect(inlined.functions.map(({ name }) => name)).toEqual(['Old', 'Leaky'])
    expect(inlined.graph.nodes.map(({ opType }) => opType)).toEqual(['Old', 'LeakyRelu', 'Elu', 'Add'])
    expect(await run(inlined)).toEqual(await run(called))
  })

  it('leaves a function with the name of an operator, which the engine takes in its place', async () => {
    const called = calling(
      [node('Neg', ['x'], ['p']), node('Neg', ['p'], ['y'])],
      definition({ name: 'Neg', domain: '', nodes: [node('Abs', ['a'], ['b'])] }),
    )
    const inlined = inlineFunctions(checkModel(called))
    expect(await run(inlined)).toEqual(await run(called))
  })

  it('brings the operator sets that only a function has imported', async () => {
    const opsets = new Map([
      ['', 17],
      ['com.microsoft', 1],
    ])
    const gelu = definition({
      name: 'G',
      nodes: [node('FastGelu', ['a'], ['b'], {}, { domain: 'com.microsoft' })],
      opsets,
    })
    const inlined = inlineFunctions(checkModel(calling([node('G', ['x'], ['y'], {}, OWN)], gelu)))
    expect(inlined.opsets.get('com.microsoft')).toBe(1)
    expect((await run(inlined))[1]).toBeCloseTo(1.95, 2)
  })

  it('tells overloads from one another', async () => {
    const functions = ['', 'other'].map((overload, index) =>
      definition({ name: 'F', overload, nodes: [node(index === 0 ? 'Neg' : 'Abs', ['a'], ['b'])] }),
    )
    const called = calling(
      [node('F', ['x'], ['p'], {}, OWN), node('F', ['p'], ['y'], {}, { ...OWN, overload: 'other' })],
      ...functions,
    )
    const inlined = inlineFunctions(checkModel({ ...called, irVersion: 10 }))
    expect(inlined.graph.nodes.map(({ opType }) => opType)).toEqual(['Neg', 'Abs'])
  })
})

describe('renaming', () => {
  it('follows a value everywhere, and moves what would hide its new name', async () => {
    const inner = branch([node('Neg', ['x'], ['z']), node('Add', ['z', 't'], ['r'])], 'r')
    const other = branch([node('Abs', ['t'], ['r'])], 'r')
    const before = calling([
      node('Neg', ['x'], ['t']),
      node('ReduceMax', ['x'], ['top'], { keepdims: { kind: 'int', value: 0n } }),
      node('Cast', ['top'], ['c'], { to: { kind: 'int', value: 9n } }),
      node('If', ['c'], ['y'], { then_branch: inner, else_branch: other }),
    ])
    const names = new Map([
      ['t', 'z'],
      ['one', 'two'],
    ])
    const renamed = { ...before, graph: renameValues(before.graph, names) }
    expect(renamed.graph.nodes[0]!.outputs).toEqual(['z'])
    expect(renamed.graph.initializers.get('two')).toEqual({ ...floats('two', 1, 1) })
    expect(await run(renamed)).toEqual(await run(before))
  })
})
