/** Subgraphs and functions: what is certain of their outputs, and no more. */
import { describe, expect, it } from 'vitest'
import type { Attribute, Graph, Model } from '../../../src/onnx/ir/index.ts'
import { inferShapes, nodeCosts } from '../../../src/onnx/shapes/index.ts'
import { definition, graph, node, value } from '../ir/support/build.ts'
import { testFolder } from '../ir/support/folder.ts'
import { filled, int64, int64s, made, op } from './support/graphs.ts'
import { expectExact, judge } from './support/oracle.ts'

const at = testFolder()
const SIZES = [
  { n: 2, m: 3 },
  { n: 4, m: 2 },
]
const body = (value: Graph): Attribute => ({ kind: 'graph', value })
const out = (name: string): { name: string; type: null } => ({ name, type: null })
const x = value('x', ['n', 'm'])

function conditional(yes: Graph, no: Graph, condition: readonly number[] | 'fed'): Model {
  const branches = { then_branch: body(yes), else_branch: body(no) }
  return made({
    inputs: condition === 'fed' ? [x, value('c', [], 'bool')] : [x],
    nodes: [op('If', 'c', 'y', branches), op('Relu', 'y', 'z')],
    constants: condition === 'fed' ? [] : [filled('c', 'bool', [], condition[0])],
  })
}

const doubled = graph({ name: 't', nodes: [op('Add', 'x x', 'r')], outputs: [out('r')] })
const turned = graph({ name: 'e', nodes: [op('Transpose', 'x', 'r')], outputs: [out('r')] })
const added = graph({ name: 'a', nodes: [op('Neg', 'x', 'r')], outputs: [out('r')] })

describe('If', () => {
  it('branches that agree are known, through what they capture', async () => {
    const inferred = await expectExact(at, conditional(doubled, added, 'fed'), SIZES, { c: [1] })
    expect(inferred.types.get('z')).toMatchObject({ shape: ['n', 'm'] })
  })

  it('branches that differ leave sizes open, and a condition that is known decides', async () => {
    const either = conditional(doubled, turned, 'fed')
    for (const c of [0, 1]) expect((await judge(at, either, SIZES, { c: [c] })).open).toEqual(['y', 'z'])
    expect(inferShapes(either).types.get('z')).toMatchObject({ shape: ['?1', '?2'] })
    await expectExact(at, conditional(doubled, turned, [0]), SIZES)
    const given = inferShapes(either, { elements: new Map([['c', [0]]]) })
    expect(given.types.get('z')).toMatchObject({ shape: ['m', 'n'] })
  })

  it('a branch may return what it captures, and ranks may differ', () => {
    const flat = graph({
      name: 'f',
      nodes: [op('Flatten', 'x', 'q'), op('ReduceSum', 'q', 'r', { keepdims: 0 })],
      outputs: [out('r')],
    })
    const direct = graph({ name: 'd', outputs: [out('x')] })
    expect(inferShapes(conditional(direct, added, 'fed')).types.get('y')).toMatchObject({ shape: ['n', 'm'] })
    expect(inferShapes(conditional(direct, flat, 'fed')).types.get('y')).toMatchObject({ shape: null })
  })
})

function loop(nodes: Graph['nodes'], outputs: readonly string[], trips = 3, carried = 'x'): Model {
  const inner = graph({
    nodes: [op('Identity', 'go', 'on'), ...nodes],
    inputs: [value('turn', [], 'int64'), value('go', [], 'bool'), value('v', null)],
    outputs: ['on', ...outputs].map(out),
  })
  const names = outputs.map((_, output) => `y${output}`).join(' ')
  return made({
    inputs: [x],
    nodes: [op('Loop', `trips go ${carried}`, names, { body: body(inner) })],
    constants: [int64('trips', trips), filled('go', 'bool', [], 1)],
  })
}

describe('Loop', () => {
  it('carried values that keep their shape, and piles of as many as it turns', async () => {
    const inferred = await expectExact(at, loop([op('Add', 'v x', 'w'), op('Transpose', 'w', 's')], ['w', 's']), SIZES)
    expect(inferred.types.get('y1')).toMatchObject({ shape: [3, 'm', 'n'] })
  })

  it('a value that grows is open in the size that grows only', async () => {
    const growing = loop([op('Concat', 'v x', 'w', { axis: 0 })], ['w'])
    expect((await judge(at, growing, SIZES)).open).toEqual(['y0'])
    expect(inferShapes(growing).types.get('y0')).toMatchObject({ shape: [expect.stringMatching(/^\?\d+$/), 'm'] })
  })

  it('a value that changes its rank is known by its type alone', () => {
    const rising = loop([op('Unsqueeze', 'v axis', 'w')], ['w'])
    const { graph: top } = rising
    const constants = new Map([...top.initializers, ['axis', int64s('axis', 0)]])
    const shape = inferShapes({ ...rising, graph: { ...top, initializers: constants } }).types.get('y0')
    expect(shape).toMatchObject({ type: 'float32', shape: null })
  })

  it('costs as much as its turns, and holds the weights of its body', () => {
    const inner = graph({
      nodes: [op('Identity', 'go', 'on'), op('MatMul', 'v w', 'u')],
      inputs: [value('turn', [], 'int64'), value('go', [], 'bool'), value('v', null)],
      outputs: [out('on'), out('u')],
      initializers: new Map([['w', filled('w', 'float32', [4, 4])]]),
    })
    const turning = made({
      inputs: [value('x', ['n', 4])],
      nodes: [op('Loop', 'trips go x', 'y', { body: body(inner) })],
      constants: [int64('trips', 5), filled('go', 'bool', [], 1)],
    })
    const [cost] = nodeCosts(turning, inferShapes(turning), () => 7)
    expect(cost).toMatchObject({ flops: 5 * 2 * 7 * 4 * 4, weightBytes: 64 + 8 + 1 })
  })
})

it('Scan: states, slices and piles along other axes', async () => {
  const inner = graph({
    nodes: [op('Add', 's r', 't'), op('Mul', 't t', 'p')],
    inputs: [value('s', null), value('r', null)],
    outputs: [out('t'), out('p')],
  })
  const attributes = { body: body(inner), num_scan_inputs: 1, scan_input_axes: [1], scan_output_axes: [-1] }
  const scanning = made({
    inputs: [value('s0', ['n', 4]), value('x', ['n', 'm', 4])],
    nodes: [op('Scan', 's0 x', 'y z', attributes)],
  })
  const inferred = await expectExact(at, scanning, SIZES)
  expect(inferred.types.get('z')).toMatchObject({ shape: ['n', 4, 'm'] })
})

it('SequenceMap: lists of what the body makes, in sizes that may differ', () => {
  const inner = graph({ nodes: [op('Transpose', 'e', 'r')], inputs: [value('e', null)], outputs: [out('r')] })
  const mapped = made({
    inputs: [x],
    nodes: [
      op('SequenceConstruct', 'x x', 's'),
      op('SequenceMap', 's', 't', { body: body(inner) }),
      op('SequenceAt', 't zero', 'y'),
    ],
    constants: [int64('zero', 0)],
  })
  expect(inferShapes(mapped).types.get('y')).toMatchObject({ type: 'float32', shape: ['?1', '?2'] })
})

describe('functions', () => {
  const scaled = definition({
    name: 'Padded',
    inputs: ['a'],
    outputs: ['b'],
    attributes: ['axis'],
    nodes: [
      node('Concat', ['a', 'a'], ['c'], { axis: { kind: 'reference', name: 'axis', type: 2 } }),
      node('Shape', ['c'], ['s']),
      node('ConstantOfShape', ['s'], ['b']),
    ],
  })
  const calling = (axis: number): Model => ({
    ...made({ inputs: [x], nodes: [op('Padded', 'x', 'y', { axis }, 'own')] }),
    functions: [scaled],
    opsets: new Map([
      ['', 17],
      ['own', 1],
    ]),
  })

  it('are followed with the attributes of the call', async () => {
    expect((await expectExact(at, calling(0), SIZES)).types.get('y')).toMatchObject({ shape: ['n*2', 'm'] })
    expect(inferShapes(calling(1)).types.get('y')).toMatchObject({ shape: ['n', 'm*2'] })
    expect([...inferShapes(calling(1)).shapeOnly]).toEqual([])
  })

  it('that call themselves, or twice the next one 30 deep, end', () => {
    const again = definition({ name: 'Padded', nodes: [node('Padded', ['a'], ['b'], {}, { domain: 'own' })] })
    expect(inferShapes({ ...calling(0), functions: [again] }).types.has('y')).toBe(false)
    const bomb = Array.from({ length: 30 }, (_, level) =>
      definition({
        name: level === 0 ? 'Padded' : `f${level}`,
        nodes: [
          node(level === 29 ? 'Relu' : `f${level + 1}`, ['a'], ['c'], {}, { domain: level === 29 ? '' : 'own' }),
          node(level === 29 ? 'Relu' : `f${level + 1}`, ['c'], ['b'], {}, { domain: level === 29 ? '' : 'own' }),
        ],
      }),
    )
    expect(inferShapes({ ...calling(0), functions: bomb }).types.get('x')).toMatchObject({ shape: ['n', 'm'] })
  })
})
