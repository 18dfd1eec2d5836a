/** Graphs that mean harm, or are merely broken: no types, and no other consequence. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Attribute, Model, Node } from '../../../src/onnx/ir/index.ts'
import { inferShapes, nodeCosts } from '../../../src/onnx/shapes/index.ts'
import { RULES } from '../../../src/onnx/shapes/rules/index.ts'
import { graph, node, tensor, value } from '../ir/support/build.ts'
import { int64s, made, op } from './support/graphs.ts'

const OPERATORS = [...RULES].flatMap(([domain, table]) => [...table.keys()].map((opType) => ({ domain, opType })))
const CONTROL = ['If', 'Loop', 'Scan', 'SequenceMap'].map((opType) => ({ domain: '', opType }))

const number = fc.oneof(fc.integer({ min: -3, max: 6 }), fc.constantFrom(2 ** 31, -(2 ** 53), 2 ** 62))
const attribute = fc.oneof(
  number.map((value): Attribute => ({ kind: 'int', value: BigInt(value) })),
  fc.array(number, { maxLength: 5 }).map((list): Attribute => ({ kind: 'ints', values: list.map(BigInt) })),
  fc.constantFrom<Attribute>(
    { kind: 'float', value: Number.NaN },
    { kind: 'floats', values: [0, -1, Number.POSITIVE_INFINITY, 2] },
    { kind: 'string', value: Uint8Array.from(Buffer.from('SAME_UPPER')) },
    { kind: 'string', value: Uint8Array.from(Buffer.from('...ij,jk->...ik')) },
    { kind: 'string', value: Uint8Array.of(0xff, 0x2c, 0x2d, 0x3e) },
    { kind: 'tensor', value: tensor('t', 'int64', [1], [1, 2]) },
    { kind: 'graph', value: graph({ nodes: [node('Relu', ['x'], ['r'])], outputs: [{ name: 'r', type: null }] }) },
    { kind: 'type', value: null },
  ),
)
const NAMES = `allowzero axes axis auto_pad block_size blocksize body ceil_mode dilations direction else_branch end
  equation exclusive group hidden_size k K keepdims kernel_shape kv_num_heads layout N num_heads num_outputs
  num_scan_inputs output_padding output_shape pads perm pooled_shape qkv_hidden_sizes q_num_heads scales shape split
  start starts strides ends to then_branch value value_ints`.split(/\s+/)
const attributes = fc.dictionary(fc.constantFrom(...NAMES), attribute, { maxKeys: 4 })

const INPUTS = ['x', 'f', 's', 'e', 'odd', 'huge', 'wide', 'none', 'seq', '']

function broken(
  operators: readonly { domain: string; opType: string }[],
  rest: readonly (readonly [string[], Record<string, Attribute>])[],
): Model {
  const nodes = operators.map((operator, at): Node => {
    const [inputs, given] = rest[at % rest.length]!
    const names = inputs.map((name, slot) => (slot % 3 === 2 && at > 0 ? `v${at - 1}` : name))
    return node(operator.opType, names, [`v${at}`, '', `o${at}`], given, operator)
  })
  return made({
    inputs: [
      value('x', ['n', 3, 'h', 'w']),
      value('f', [2, -1, 2 ** 53]),
      value('odd', [], 'string'),
      value('huge', [2 ** 50, 2 ** 50, 2 ** 50]),
      value('none', null),
      { name: 'seq', type: { kind: 'sequence', element: { kind: 'tensor', type: 'float32', shape: [2, 'n'] } } },
    ],
    nodes,
    constants: [
      int64s('s', -1, 0, 2 ** 53),
      int64s('e'),
      tensor('wide', 'float32', [3], Float32Array.of(Number.NaN, -1, Number.POSITIVE_INFINITY)),
    ],
    opset: 20,
  })
}

describe('any operator with anything', () => {
  it('never throws, and leaves no size that is none', () => {
    const use = fc.tuple(fc.array(fc.constantFrom(...INPUTS), { maxLength: 8 }), attributes)
    const plan = fc.tuple(
      fc.array(fc.constantFrom(...OPERATORS, ...CONTROL), { minLength: 1, maxLength: 12 }),
      fc.array(use, { minLength: 1, maxLength: 6 }),
    )
    fc.assert(
      fc.property(plan, ([operators, rest]) => {
        const model = broken(operators, rest)
        const inferred = inferShapes(model)
        for (const [name, type] of inferred.types) {
          for (const size of (type.kind === 'tensor' && type.shape) || []) {
            expect(typeof size === 'string' || (Number.isSafeInteger(size) && size! >= 0), name).toBe(true)
          }
        }
        for (const cost of nodeCosts(model, inferred)) {
          for (const figure of Object.values(cost) as number[])
            expect(Number.isFinite(figure) && figure >= 0).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('sizes', () => {
  it('nodes in a cycle, and what follows them, have no types; the rest has', () => {
    const cyclic = made({
      inputs: [value('x', ['n'])],
      nodes: [op('Add', 'b x', 'a'), op('Relu', 'a', 'b'), op('Neg', 'b', 'c'), op('Relu', 'x', 'y')],
    })
    expect([...inferShapes(cyclic).types.keys()]).toEqual(['x', 'y'])
  })

  it('a chain that stands in reverse is as a chain', () => {
    const length = 20_000
    const nodes = Array.from({ length }, (_, at) => op('Relu', at === 0 ? 'x' : `v${at - 1}`, `v${at}`)).reverse()
    const chain = made({ inputs: [value('x', ['n', 4])], nodes, outputs: [`v${length - 1}`] })
    expect(inferShapes(chain).types.get(`v${length - 1}`)).toMatchObject({ shape: ['n', 4] })
  })

  it('sizes that grow without end become unknown, and texts do not grow', () => {
    const nodes = Array.from({ length: 500 }, (_, at) => {
      const before = at === 0 ? 'x' : `v${at - 1}`
      return at % 2 === 0
        ? op('Concat', `${before} y ${before}`, `v${at}`, { axis: 0 })
        : op('Tile', `${before} three`, `v${at}`)
    })
    const growing = made({
      inputs: [value('x', ['n', 2]), value('y', ['another', 2])],
      nodes,
      constants: [int64s('three', 3, 1)],
    })
    for (const type of inferShapes(growing).types.values()) {
      for (const size of (type.kind === 'tensor' && type.shape) || [])
        expect(String(size).length).toBeLessThanOrEqual(200)
    }
  })

  it('branches inside branches, 200 deep, end', () => {
    let inner = graph({ nodes: [op('Relu', 'x', 'r')], outputs: [{ name: 'r', type: null }] })
    for (let level = 0; level < 200; level++) {
      const branch: Attribute = { kind: 'graph', value: inner }
      const nodes = [op('If', 'c', 'r', { then_branch: branch, else_branch: branch })]
      inner = graph({ nodes, outputs: [{ name: 'r', type: null }] })
    }
    const { nodes } = inner
    const nested = made({
      inputs: [value('x', ['n']), value('c', [], 'bool')],
      nodes: [...nodes, op('Relu', 'x', 'y')],
    })
    expect(inferShapes(nested).types.get('y')).toMatchObject({ shape: ['n'] })
  })

  it('known elements do not pile up without end', () => {
    const nodes = Array.from({ length: 4000 }, (_, at) =>
      op('Add', `${at === 0 ? 'list' : `v${at - 1}`} list`, `v${at}`),
    )
    const piled = made({
      inputs: [],
      nodes,
      constants: [int64s('list', ...Array.from({ length: 1024 }, (_, at) => at))],
    })
    const { known } = inferShapes(piled)
    expect([known.has('v100'), known.has('v3999')]).toEqual([true, false])
  })
})
