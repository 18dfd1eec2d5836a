/** Whole graphs: shared values, old operator sets, subgraphs, sizes of 0, and what is refused. */
import { describe, expect, test } from 'vitest'
import { WeftError } from '../../../src/errors.ts'
import type { Model, Node } from '../../../src/onnx/index.ts'
import { differentiate } from '../../../src/training/index.ts'
import { definition, graph, model, node, tensor, value } from '../../onnx/ir/support/build.ts'
import { int64, int64s, op } from '../../onnx/shapes/support/graphs.ts'
import { check, floats, load, numbers, precisionOf, real, wholes } from './support/gradient-check.ts'
import type { Case } from './support/gradient-check.ts'

/** The engine asks for the types of a Loop's own two. */
const INNER_TYPES: Readonly<Record<string, ReturnType<typeof value>>> = {
  i: value('i', [], 'int64'),
  c: value('c', [], 'bool'),
}
const single = { type: 'float32' } as const
const inner = (
  nodes: readonly Node[],
  outputs: readonly string[],
  inputs: readonly string[] = [],
): Case['nodes'][number] =>
  // Only the graph of it is wanted.
  node('If', [], [], {
    body: {
      kind: 'graph',
      value: graph({
        name: 'inner',
        nodes,
        inputs: inputs.map((name) => INNER_TYPES[name] ?? { name, type: null }),
        outputs: outputs.map((name) => ({ name, type: null })),
      }),
    },
  })
const bodyOf = (nodes: readonly Node[], outputs: readonly string[], inputs: readonly string[] = []) =>
  inner(nodes, outputs, inputs).attributes.get('body')!
const constant = (name: string, type: 'bool' | 'int64', number: number): Node =>
  op('Constant', '', name, {
    value: {
      kind: 'tensor',
      value: tensor('', type, [], type === 'bool' ? Uint8Array.of(number) : BigInt64Array.of(BigInt(number))),
    },
  })

const GRAPHS: readonly [string, Case][] = [
  [
    'a value used three times, once twice by one node',
    {
      inputs: { x: [2, 2], w: [2, 2] },
      nodes: [op('Mul', 'x w', 'a'), op('MatMul', 'a w', 'b'), op('Mul', 'w w', 'c'), op('Add', 'b c', 'y')],
    },
  ],
  [
    'weights shared through Identity and a transpose',
    {
      inputs: { x: [2, 3], w: [3, 3] },
      nodes: [op('Identity', 'w', 'v'), op('Transpose', 'v', 't'), op('MatMul', 'x t', 'a'), op('MatMul', 'a w', 'y')],
    },
  ],
  [
    'a chain of shapes',
    {
      inputs: { x: [2, 3] },
      open: true,
      others: { at: wholes([1], 1) },
      nodes: [
        op('Shape', 'x', 's'),
        op('Gather', 's at', 'n'),
        constant('minus', 'int64', -1),
        op('Unsqueeze', 'minus axis', 'm'),
        op('Constant', '', 'axis', { value_ints: [0] }),
        op('Concat', 'n m', 'target', { axis: 0 }),
        op('Reshape', 'x target', 'r'),
        op('Cast', 'n', 'f', { to: 11 }),
        op('Div', 'r f', 'd'),
        op('ConstantOfShape', 's', 'zeros', {
          value: { kind: 'tensor', value: tensor('', 'float64', [1], Float64Array.of(2)) },
        }),
        op('Expand', 'x s', 'e'),
        op('Mul', 'e zeros', 'twice'),
        op('Transpose', 'twice', 'u'),
        op('Add', 'd u', 'y'),
      ].toSorted((a, b) => (a.opType === 'Constant' ? 0 : 1) - (b.opType === 'Constant' ? 0 : 1)),
    },
  ],
  [
    'axes that are an input',
    {
      inputs: { x: [2, 3] },
      open: true,
      others: { axes: wholes([1], -1) },
      nodes: [op('ReduceMean', 'x axes', 'm', { keepdims: 0 }), op('Mul', 'm m', 'y')],
    },
  ],
  [
    'a gradient that flows into another output than the first alone',
    {
      inputs: { x: [2, 4] },
      others: { sizes: wholes([2], 1, 3) },
      nodes: [op('Split', 'x sizes', 'a b', { axis: 1 }), op('Exp', 'b', 'y')],
    },
  ],
  [
    'steps and whole numbers let nothing pass',
    {
      inputs: { x: [2, 3] },
      nodes: [
        op('Floor', 'x', 'a'),
        op('Greater', 'x a', 'c'),
        op('Cast', 'c', 'f', { to: 11 }),
        op('Mul', 'x f', 'y'),
      ],
    },
  ],
  [
    'old forms: operator set 9',
    {
      ...single,
      opset: 9,
      inputs: { x: [2, 3, 2], b: [3] },
      nodes: [
        op('Softmax', 'x', 's'),
        op('ReduceSum', 's', 'r', { axes: [2], keepdims: 1 }),
        op('Squeeze', 'r', 'q', { axes: [2] }),
        op('Add', 'q b', 'a'),
        op('Clip', 'a', 'c', { min: real(-2), max: real(0.9) }),
        op('Slice', 'c', 'l', { starts: [0], ends: [2], axes: [1] }),
        op('Unsqueeze', 'l', 'u', { axes: [0] }),
        op('Pad', 'u', 'p', { pads: [0, 1, 1, 0, 0, 1], value: real(1.5) }),
        op('Split', 'p', 'p1 p2', { axis: 2 }),
        op('Dropout', 'p1', 'd', { ratio: real(0.5) }),
        op('Mul', 'd p2', 'm'),
        op('TopK', 'm', 'y i', { k: 2, axis: 1 }),
      ].map((made) => (made.opType === 'TopK' ? op('Identity', 'm', 'y') : made)),
      modern: {
        others: {
          rows: wholes([2], 2, 6),
          cube: wholes([3], 2, 3, 2),
          low: floats('float64', [], [-2]),
          high: floats('float64', [], [Math.fround(0.9)]),
          filling: floats('float64', [], [1.5]),
          zero: wholes([1], 0),
          one: wholes([1], 1),
          two: wholes([1], 2),
          pads: wholes([6], 0, 1, 1, 0, 0, 1),
        },
        nodes: [
          op('Reshape', 'x rows', 'flat'),
          op('Softmax', 'flat', 'soft', { axis: 1 }),
          op('Reshape', 'soft cube', 's'),
          op('ReduceSum', 's two', 'q', { keepdims: 0 }),
          op('Add', 'q b', 'a'),
          op('Clip', 'a low high', 'c'),
          op('Slice', 'c zero two one', 'l'),
          op('Unsqueeze', 'l zero', 'u'),
          op('Pad', 'u pads filling', 'p'),
          op('Split', 'p', 'p1 p2', { axis: 2, num_outputs: 2 }),
          op('Mul', 'p1 p2', 'y'),
        ],
      },
    },
  ],
  [
    'old forms: operator set 8, of images',
    {
      ...single,
      opset: 8,
      inputs: { x: [1, 2, 2, 2], s: [2], b: [2], m: [2], v: { dims: [2], elements: [0.6, 1.2] } },
      nodes: [
        op('BatchNormalization', 'x s b m v', 'n', { epsilon: real(0.01) }),
        op('Upsample', 'n', 'u', { mode: 'linear', scales: { kind: 'floats', values: [1, 1, 2, 3] } }),
        op('AveragePool', 'u', 'y', { kernel_shape: [2, 2], strides: [2, 2] }),
      ],
      modern: {
        others: { scales: floats('float64', [4], [1, 1, 2, 3]) },
        nodes: [
          op('BatchNormalization', 'x s b m v', 'n', { epsilon: real(0.01) }),
          op('Resize', 'n _ scales', 'u', { mode: 'linear', coordinate_transformation_mode: 'asymmetric' }),
          op('AveragePool', 'u', 'y', { kernel_shape: [2, 2], strides: [2, 2] }),
        ],
      },
    },
  ],
  [
    'an If with a known branch',
    {
      inputs: { x: [2, 3] },
      nodes: [
        op('Shape', 'x', 's'),
        op('Size', 's', 'rank'),
        constant('two', 'int64', 2),
        op('Equal', 'rank two', 'is_matrix'),
        node('If', ['is_matrix'], ['z'], {
          then_branch: bodyOf([op('Mul', 'x x', 'square')], ['square']),
          else_branch: bodyOf([op('Neg', 'x', 'square')], ['square']),
        }),
        op('Exp', 'z', 'y'),
      ],
    },
  ],
  [
    'a Loop of a known number of turns',
    {
      inputs: { x: [2] },
      nodes: [
        constant('count', 'int64', 3),
        constant('going', 'bool', 1),
        node('Loop', ['count', 'going', 'x'], ['last', 'all'], {
          body: bodyOf(
            [op('Identity', 'c', 'c2'), op('Mul', 'v x', 'v2'), op('Sin', 'v2', 'o')],
            ['c2', 'v2', 'o'],
            ['i', 'c', 'v'],
          ),
        }),
        op('Add', 'all last', 'y'),
      ],
    },
  ],
  [
    'a Scan',
    {
      inputs: { x: [3, 2], h: [2], w: [2, 2] },
      nodes: [
        node('Scan', ['h', 'x'], ['last', 'all'], {
          num_scan_inputs: { kind: 'int', value: 1n },
          scan_input_directions: { kind: 'ints', values: [1n] },
          body: bodyOf(
            [op('MatMul', 'a w', 'm'), op('Add', 'm b', 's'), op('Tanh', 's', 't'), op('Identity', 't', 'u')],
            ['t', 'u'],
            ['a', 'b'],
          ),
        }),
        op('Mul', 'all last', 'y'),
      ],
    },
  ],
]

describe('gradients of graphs', () => {
  test.each(GRAPHS.filter(([, given]) => given.type !== 'float32'))('%s', async (_, given) => {
    const { worst } = await check(given)
    expect(worst).toBeLessThan(1e-6)
  })

  test.each(GRAPHS.filter(([, given]) => given.type === 'float32'))('%s, in float32', async (_, given) => {
    const { single, forward } = await precisionOf(given)
    expect(Math.max(single, forward)).toBeLessThan(1e-4)
  })
})

const weights = (name: string, dims: readonly number[]): ReturnType<typeof tensor> =>
  tensor(name, 'float32', dims, Float32Array.from(numbers(dims.reduce((product, size) => product * size, 1))))

function small(more: Partial<Model['graph']> = {}): Model {
  return model({
    inputs: [value('x', ['batch', 3])],
    initializers: new Map([
      ['w', weights('w', [3, 2])],
      ['unused', weights('unused', [4])],
      ['two', int64('two', 2)],
    ]),
    nodes: [
      op('MatMul', 'x w', 'p'),
      op('Mul', 'p p', 'q'),
      op('ReduceMean', 'q', 'loss', { keepdims: 0 }),
      op('ArgMax', 'p', 'best', { axis: 1 }),
    ],
    outputs: ['p', 'loss', 'best'].map((name) => ({ name, type: null })),
    ...more,
  })
}

describe('the training graph', () => {
  test('keeps its inputs and outputs, and has zeros for what the loss does not depend on', async () => {
    const { model: made, gradients } = differentiate(small(), { loss: 'loss' })
    expect([...gradients.keys()]).toEqual(['w', 'unused'])
    expect(made.graph.outputs.map(({ name }) => name).slice(0, 3)).toEqual(['p', 'loss', 'best'])
    const run = await load(made)
    const feeds = { x: floats('float32', [2, 3], [1, 0, 0, 0, 1, 0]) }
    const names = [...gradients.values()]
    for (const _ of ['first', 'again']) {
      const results = await run.run(feeds, ['loss', ...names])
      const [w, unused] = names.map((name) => results[name]!)
      expect([w!.dims, unused!.dims]).toEqual([[3, 2], [4]])
      // d mean(p^2) = 2 x' p / 4
      const own = numbers(6)
      const expected = [own[0]! / 2, own[1]! / 2, own[2]! / 2, own[3]! / 2, 0, 0]
      for (const [index, number] of expected.entries()) expect(w!.data[index]).toBeCloseTo(number, 6)
      expect([...unused!.data]).toEqual([0, 0, 0, 0])
    }
    await run.release()
  })

  test('has a batch of nothing, and then no gradient', async () => {
    const sum = small({
      nodes: [op('MatMul', 'x w', 'p'), op('Relu', 'p', 'q'), op('ReduceSum', 'q', 'loss', { keepdims: 0 })],
      outputs: [{ name: 'loss', type: null }],
    })
    const { model: made, gradients } = differentiate(sum, { loss: 'loss', wrt: ['w', 'x'] })
    const run = await load(made)
    const results = await run.run({ x: floats('float32', [0, 3], []) }, [...gradients.values()])
    expect([...results[gradients.get('w')!]!.data]).toEqual([0, 0, 0, 0, 0, 0])
    expect(results[gradients.get('x')!]!.dims).toEqual([0, 3])
    await run.release()
  })

  test('inlines functions of the model, and takes losses of shape [1, 1]', async () => {
    const made = {
      ...small({
        nodes: [
          node('Square', ['x'], ['q'], {}, { domain: 'own' }),
          op('MatMul', 'q w', 'p'),
          op('ReduceMean', 'p', 'loss', { keepdims: 1 }),
        ],
        outputs: [{ name: 'loss', type: null }],
      }),
      opsets: new Map([
        ['', 17],
        ['own', 1],
      ]),
      functions: [definition({ name: 'Square', inputs: ['a'], outputs: ['b'], nodes: [op('Mul', 'a a', 'b')] })],
    }
    const { model: trained, gradients } = differentiate(made, { loss: 'loss', wrt: ['x'] })
    const run = await load(trained)
    const results = await run.run({ x: floats('float32', [1, 3], [1, 2, 3]) }, [...gradients.values()])
    const own = numbers(6)
    for (const [row, number] of [...results[gradients.get('x')!]!.data].entries()) {
      expect(number).toBeCloseTo((row + 1) * (own[2 * row]! + own[2 * row + 1]!), 5)
    }
    await run.release()
  })
})

describe('what cannot be differentiated', () => {
  const codeOf = (made: Model, request: Parameters<typeof differentiate>[1]): [string, string] => {
    try {
      differentiate(made, request)
    } catch (error) {
      if (error instanceof WeftError) return [error.code, error.message]
      throw error
    }
    return ['none', '']
  }
  const loss = 'loss'
  const unknown = small({
    nodes: [op('MatMul', 'x w', 'p'), node('Det', ['p'], ['d'], {}, { name: 'here' }), op('ReduceSum', 'd', 'loss')],
  })

  test.each<[string, Model, Parameters<typeof differentiate>[1], string, RegExp]>([
    ['an unknown loss', small(), { loss: 'lost' }, 'WEFT-INF-141', /"lost"/],
    ['a loss that is no scalar', small(), { loss: 'p' }, 'WEFT-INF-142', /\[batch, 2\]/],
    ['a loss of whole numbers', small(), { loss: 'best' }, 'WEFT-INF-143', /int64/],
    ['a loss that depends on nothing', small(), { loss, wrt: ['unused'] }, 'WEFT-INF-144', /"loss"/],
    ['a parameter that is not there', small(), { loss, wrt: ['v'] }, 'WEFT-INF-145', /"v"/],
    ['a parameter of whole numbers', small(), { loss, wrt: ['two'] }, 'WEFT-INF-145', /"two"/],
    ['a parameter in between', small(), { loss, wrt: ['p'] }, 'WEFT-INF-145', /"p"/],
    [
      'an operator without a rule',
      { ...unknown, graph: { ...unknown.graph, outputs: [] } },
      { loss },
      'WEFT-INF-140',
      /"Det", node "here"/,
    ],
    ['an operator set that is too old', { ...small(), opsets: new Map([['', 6]]) }, { loss }, 'WEFT-INF-146', /ready/],
  ])('%s', (_, made, request, code, words) => {
    const [found, message] = codeOf(made, request)
    expect(found).toBe(code)
    expect(message).toMatch(words)
  })

  test('an If of which the branch is not known is named', () => {
    const made = small({
      inputs: [value('x', [2, 3]), value('flag', [], 'bool')],
      nodes: [
        node('If', ['flag'], ['p'], {
          then_branch: bodyOf([op('MatMul', 'x w', 'a')], ['a']),
          else_branch: bodyOf([op('Neg', 'x', 'b'), op('MatMul', 'b w', 'c')], ['c']),
        }),
        op('ReduceSum', 'p', 'loss'),
      ],
      outputs: [{ name: 'loss', type: null }],
    })
    expect(codeOf(made, { loss })).toEqual(['WEFT-INF-140', expect.stringContaining('"If" that makes "p"')])
    const elements = new Map([['flag', [0]]])
    expect(codeOf(made, { loss, elements })[0]).toBe('none')
  })

  test('what the loss does not need may have no rule', () => {
    const made = small()
    const nodes = [...made.graph.nodes, op('Det', 'w2', 'd')]
    const initializers = new Map([
      ...made.graph.initializers,
      ['w2', weights('w2', [2, 2])],
      ['axes', int64s('axes', 0)],
    ] as const)
    const more = {
      ...made,
      graph: { ...made.graph, nodes, initializers, outputs: [...made.graph.outputs, { name: 'd', type: null }] },
    }
    expect(codeOf(more, { loss })[0]).toBe('none')
  })
})
