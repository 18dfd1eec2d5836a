/** What makes a graph sound, and the little that is put right; held against what the engine itself says. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import {
  checkModel,
  CyclicGraphError,
  DanglingValueError,
  DuplicateDefinitionError,
  FunctionError,
  MissingOpsetError,
  OnnxLimitError,
  OnnxMalformedError,
  writeModel,
} from '../../../src/onnx/ir/index.ts'
import type { Attribute, Graph, Model, Node } from '../../../src/onnx/ir/index.ts'
import { chain, definition, floats, graph, model, node, value } from './support/build.ts'
import { expectRefusal, testFolder } from './support/folder.ts'

const at = testFolder()
const engine = createOrtEngine()

const X = [value('x'), value('c', [], 'bool')]
const Y = [value('y')]
const of = (...nodes: readonly Node[]): Model => model({ nodes, inputs: X, outputs: Y })
const body = (nodes: readonly Node[], output: string, more: Partial<Graph> = {}): Attribute => ({
  kind: 'graph',
  value: graph({ name: 'body', nodes, outputs: [value(output)], ...more }),
})
const branch = (then: Attribute, output = 'y'): Node =>
  node('If', ['c'], [output], { then_branch: then, else_branch: body([node('Neg', ['x'], ['e'])], 'e') })

async function loads(checked: Model): Promise<boolean> {
  await writeModel(checked, at('model.onnx'))
  return await engine.load(at('model.onnx'), { threads: 1 }).then(
    async (loaded) => {
      await loaded.release()
      return true
    },
    () => false,
  )
}

async function run(checked: Model, x: Float32Array): Promise<unknown> {
  await writeModel(checked, at('model.onnx'))
  const loaded = await engine.load(at('model.onnx'), { threads: 1 })
  const results = await loaded.run({ x: { type: 'float32', dims: [2], data: x } }, ['y'])
  await loaded.release()
  return [...(results['y']!.data as Float32Array)]
}

describe('sound models', () => {
  it.each<[string, Model]>([
    ['a chain', chain(5)],
    ['an output that is an input', model({ inputs: [value('x')], outputs: [value('x')] })],
    ['an output that is an initializer', model({ outputs: Y, initializers: new Map([['y', floats('y', 1, 2)]]) })],
    [
      'an initializer that is an input',
      model({ inputs: Y, outputs: Y, initializers: new Map([['y', floats('y', 1, 2)]]) }),
    ],
    [
      'an output that is given twice',
      model({ nodes: [node('Neg', ['x'], ['y'])], inputs: [value('x')], outputs: [...Y, ...Y] }),
    ],
    ['a subgraph that reads around it', of(branch(body([node('Add', ['x', 'x'], ['t'])], 't')))],
    [
      'a subgraph whose value has the name of one that is made later',
      of(branch(body([node('Neg', ['x'], ['z'])], 'z')), node('Neg', ['y'], ['z'])),
    ],
    ['equal names in two branches', of(branch(body([node('Neg', ['x'], ['e'], {}, { name: 'n' })], 'e')))],
    [
      'an operator of the engine that is not imported',
      of(node('FastGelu', ['x'], ['y'], {}, { domain: 'com.microsoft' })),
    ],
    [
      'an initializer of a subgraph with the name of one around it',
      of(
        node('Neg', ['x'], ['w']),
        branch(body([node('Neg', ['w'], ['t'])], 't', { initializers: new Map([['w', floats('w', 1, 2)]]) })),
      ),
    ],
  ])('stay as they are: %s', async (_, sound) => {
    expect(checkModel(sound)).toBe(sound)
    expect(await loads(sound)).toBe(true)
  })
})

describe('what the engine refuses', () => {
  const inner = (name: string): Attribute => body([node('Neg', ['x'], [name])], name)
  it.each<[string, Model, new (...facts: never[]) => Error, RegExp]>([
    [
      'a cycle',
      of(node('Add', ['x', 'b'], ['a']), node('Neg', ['a'], ['b']), node('Neg', ['b'], ['y'])),
      CyclicGraphError,
      /cycle: "a", "b", "a"|cycle: "b", "a", "b"/,
    ],
    ['a node that reads itself', of(node('Add', ['x', 'y'], ['y'])), CyclicGraphError, /cycle: "y", "y"/],
    ['a cycle through a subgraph', of(branch(body([node('Neg', ['y'], ['t'])], 't'))), CyclicGraphError, /"y"/],
    [
      'a value that nobody makes',
      of(node('Add', ['x', 'none'], ['y'])),
      DanglingValueError,
      /a node of "Add" reads "none"/,
    ],
    [
      'one inside a subgraph',
      of(branch(body([node('Neg', ['none'], ['t'], {}, { name: 'deep' })], 't'))),
      DanglingValueError,
      /graph "body", node "deep"/,
    ],
    ['an output that nobody makes', of(node('Neg', ['x'], ['z'])), DanglingValueError, /an output reads "y"/],
    [
      'an output of a subgraph that nobody makes',
      of(branch(body([], 'none'))),
      DanglingValueError,
      /an output reads "none"/,
    ],
    [
      'a value that is made twice',
      of(node('Neg', ['x'], ['y']), node('Neg', ['x'], ['y'])),
      DuplicateDefinitionError,
      /value "y"/,
    ],
    [
      'a value that is an input',
      of(node('Neg', ['x'], ['x']), node('Neg', ['x'], ['y'])),
      DuplicateDefinitionError,
      /value "x"/,
    ],
    [
      'a value that is an initializer',
      model({
        nodes: [node('Neg', ['x'], ['y'])],
        inputs: X,
        outputs: Y,
        initializers: new Map([['y', floats('y', 1, 2)]]),
      }),
      DuplicateDefinitionError,
      /"y"/,
    ],
    [
      'two inputs of one name',
      model({ nodes: [node('Neg', ['x'], ['y'])], inputs: [...X, ...X], outputs: Y }),
      DuplicateDefinitionError,
      /input "x"/,
    ],
    [
      'a subgraph that makes a value anew',
      of(node('Neg', ['x'], ['a']), branch(inner('a'))),
      DuplicateDefinitionError,
      /one around it: the value "a"/,
    ],
    [
      'an operator of a domain that is not imported',
      of(node('Op', ['x'], ['y'], {}, { domain: 'my' })),
      MissingOpsetError,
      /"Op" but imports no operator set "my"/,
    ],
  ])('is refused: %s', async (_, unsound, kind, words) => {
    await expectRefusal(() => checkModel(unsound), kind, words)
    expect(await loads(unsound)).toBe(false)
  })

  it('also what it would get wrong in silence: an initializer of a subgraph with the name of an input', async () => {
    const hidden = body([node('Neg', ['x'], ['t'])], 't', { initializers: new Map([['x', floats('x', 1, 2)]]) })
    await expectRefusal(() => checkModel(of(branch(hidden))), DuplicateDefinitionError, /"x"/)
  })

  it('also what it guesses: the version of its own operators', async () => {
    const unsaid = { ...chain(2), opsets: new Map([['com.microsoft', 1]]) }
    await expectRefusal(() => checkModel(unsaid), MissingOpsetError, /no operator set of ONNX/)
  })

  it('also attributes that refer to a function, outside of any', async () => {
    const loose = of(node('LeakyRelu', ['x'], ['y'], { alpha: { kind: 'reference', name: 'a', type: 1 } }))
    await expectRefusal(() => checkModel(loose), OnnxMalformedError, /"alpha"/)
  })

  it('also what no file can hold', async () => {
    let deep = body([node('Neg', ['x'], ['t'])], 't')
    for (let level = 0; level < 20_000; level++) deep = body([branch(deep, 't')], 't')
    await expectRefusal(() => checkModel(of(branch(deep))), OnnxLimitError, /subgraphs inside one another/)
  })
})

describe('what is put right', () => {
  it('nodes out of order, in subgraphs too, without touching what was handed in', async () => {
    const late = body([node('Neg', ['b'], ['t']), node('Neg', ['a'], ['b'])], 't')
    const mixed = of(branch(late), node('Neg', ['x'], ['a']))
    const frozen = JSON.stringify(mixed.graph.nodes.map(({ opType }) => opType))
    const { nodes } = checkModel(mixed).graph
    expect(nodes.map(({ opType }) => opType)).toEqual(['Neg', 'If'])
    expect(JSON.stringify(mixed.graph.nodes.map(({ opType }) => opType))).toBe(frozen)
    expect(await loads(mixed)).toBe(false)
    expect(await loads(checkModel(mixed))).toBe(true)
  })

  it('nodes of one name: later ones get a number that is free', async () => {
    const names = ['n', 'n', '', 'n_2', 'n', '', 'n_2']
    const nodes = chain(names.length).graph.nodes.map((each, index) => ({ ...each, name: names[index]! }))
    const twice = model({ ...chain(names.length).graph, nodes })
    const checked = checkModel(twice)
    expect(checked.graph.nodes.map(({ name }) => name)).toEqual(['n', 'n_3', '', 'n_2', 'n_4', '', 'n_2_2'])
    expect(checkModel(checked)).toBe(checked)
    expect(await loads(twice)).toBe(false)
    expect(await run(checked, Float32Array.of(-1, 2))).toEqual([0, 2])
  })

  it('a branch that returns a value of the graph around it', async () => {
    const made = node('ConstantOfShape', ['s'], ['c'], {
      value: {
        kind: 'tensor',
        value: { name: '', type: 'bool', dims: [1], data: { kind: 'bytes', bytes: Uint8Array.of(1) } },
      },
    })
    const shape = { name: 's', type: 'int64', dims: [0], data: { kind: 'bytes', bytes: new Uint8Array() } } as const
    const direct = model({
      nodes: [made, node('Neg', ['x'], ['a']), branch(body([], 'a', { outputs: [value('a')] }))],
      inputs: [value('x')],
      outputs: Y,
      initializers: new Map([['s', shape]]),
    })
    expect(await loads(direct)).toBe(false)
    expect(await run(checkModel(direct), Float32Array.of(-1, 2))).toEqual([1, -2])
  })

  it('bodies of functions', async () => {
    const nodes = [node('Neg', ['t'], ['b'], {}, { name: 'n' }), node('Relu', ['a'], ['t'], {}, { name: 'n' })]
    const calls = [node('F', ['x'], ['y'], {}, { domain: 'own' })]
    const opsets = new Map([
      ['', 17],
      ['own', 1],
    ])
    const loose = model(
      { nodes: calls, inputs: [value('x')], outputs: Y },
      { functions: [definition({ name: 'F', nodes })], opsets },
    )
    expect(await loads(loose)).toBe(false)
    expect(await run(checkModel(loose), Float32Array.of(-1, 2))).toEqual([-0, -2])
  })
})

describe('functions', () => {
  const call = (name: string, inputs = ['a'], outputs = ['b']): Node =>
    node(name, inputs, outputs, {}, { domain: 'own' })
  const calling = (name: string, ...functions: Model['functions']): Model =>
    model({ nodes: [call(name, ['x'], ['y'])], inputs: X, outputs: Y }, { functions, opsets: new Map([['own', 1]]) })

  it.each<[string, Model, new (...facts: never[]) => Error, RegExp]>([
    [
      'one that calls itself',
      calling('F', definition({ name: 'F', nodes: [call('F')] })),
      FunctionError,
      /calls itself/,
    ],
    [
      'two that call each other, though nobody calls them',
      calling(
        'H',
        definition({ name: 'F', nodes: [call('G')] }),
        definition({ name: 'G', nodes: [call('F')] }),
        definition({ name: 'H', nodes: [node('Neg', ['a'], ['b'])] }),
      ),
      FunctionError,
      /calls itself/,
    ],
    [
      'one that is defined twice',
      calling('F', definition({ name: 'F', nodes: [] }), definition({ name: 'F', nodes: [] })),
      DuplicateDefinitionError,
      /function "F"/,
    ],
    [
      'a call with too many inputs',
      model(
        { nodes: [call('F', ['x', 'x'], ['y'])], inputs: X, outputs: Y },
        { functions: [definition({ name: 'F', nodes: [] })] },
      ),
      FunctionError,
      /1 inputs and 1 outputs/,
    ],
    [
      'one that imports too little',
      calling('F', definition({ name: 'F', nodes: [node('Neg', ['a'], ['b'])], opsets: new Map() })),
      MissingOpsetError,
      /function "F"/,
    ],
    [
      'one that reads what nobody makes',
      calling('F', definition({ name: 'F', nodes: [node('Neg', ['x'], ['b'])] })),
      DanglingValueError,
      /"x"/,
    ],
    [
      'one with an attribute twice',
      calling('F', definition({ name: 'F', attributes: ['k', 'k'], nodes: [node('Neg', ['a'], ['b'])] })),
      DuplicateDefinitionError,
      /attribute "k"/,
    ],
  ])('are refused: %s', async (_, unsound, kind, words) => {
    await expectRefusal(() => checkModel(unsound), kind, words)
  })

  it('that double at each call are a bomb; a long chain of them is too deep', async () => {
    const last = definition({ name: 'F40', nodes: [node('Neg', ['a'], ['b'])] })
    const doubling = Array.from({ length: 40 }, (_, level) =>
      definition({
        name: `F${level}`,
        nodes: [call(`F${level + 1}`, ['a'], ['t']), call(`F${level + 1}`, ['t'], ['b'])],
      }),
    )
    await expectRefusal(
      () => checkModel(calling('F0', ...doubling, last)),
      OnnxLimitError,
      /when its functions are inlined/,
    )
    const long = Array.from({ length: 5000 }, (_, level) =>
      definition({ name: `F${level}`, nodes: [call(`F${level + 1}`)] }),
    )
    await expectRefusal(() => checkModel(calling('F0', ...long)), OnnxLimitError, /functions that call one another/)
  })
})

describe('long graphs', () => {
  const LENGTH = 100_000

  it('are put in order whichever way they stand', () => {
    const long = chain(LENGTH)
    expect(checkModel(long)).toBe(long)
    const reversed = model({ ...long.graph, nodes: long.graph.nodes.toReversed() })
    expect(checkModel(reversed).graph.nodes.every((each, index) => each === long.graph.nodes[index])).toBe(true)
  })

  it('name a long cycle by its first values', async () => {
    const { nodes, ...rest } = chain(LENGTH).graph
    const ring = model({ ...rest, nodes: [node('Add', ['x', 'y'], ['v1']), ...nodes.slice(1)] })
    await expectRefusal(() => checkModel(ring), CyclicGraphError, /and \d+ more/)
  })

  it('in any order are put into one of dependence, the same each time', () => {
    const shuffled = fc.shuffledSubarray([...chain(40).graph.nodes], { minLength: 40 })
    fc.assert(
      fc.property(shuffled, (nodes) => {
        expect(checkModel(model({ ...chain(40).graph, nodes })).graph.nodes).toEqual(chain(40).graph.nodes)
      }),
      { numRuns: 50, seed: 4 },
    )
  })
})
