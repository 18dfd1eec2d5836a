/** What a file declares of shapes, and when it is believed. */
import { describe, expect, it } from 'vitest'
import type { Model, ValueInfo } from '../../../src/onnx/ir/index.ts'
import { inferShapes } from '../../../src/onnx/shapes/index.ts'
import { model, value } from '../ir/support/build.ts'
import { filled, int64s, made, op } from './support/graphs.ts'

const x = value('x', ['batch', 3])

function declaring(base: Model, values: readonly ValueInfo[], outputs?: readonly ValueInfo[]): Model {
  const { graph } = base
  return {
    ...base,
    graph: { ...graph, values: new Map(values.map((info) => [info.name, info])), outputs: outputs ?? graph.outputs },
  }
}

describe('value_info and outputs', () => {
  const plain = made({ inputs: [x], nodes: [op('Relu', 'x', 'a'), op('Relu', 'a', 'y')] })

  it('stale ones are not believed', () => {
    const stale = declaring(plain, [value('a', [7, 9], 'int64')], [value('y', [1, 3])])
    const inferred = inferShapes(stale)
    expect(inferred.types.get('a')).toEqual(x.type)
    expect(inferred.types.get('y')).toEqual(x.type)
    expect(inferred.assumed.size).toBe(0)
  })

  it('a size that a rule leaves open is not filled in', () => {
    const open = made({ inputs: [x], nodes: [op('NonZero', 'x', 'y')] })
    const inferred = inferShapes(declaring(open, [value('y', [2, 5], 'int64')]))
    expect(inferred.types.get('y')).toMatchObject({ shape: [2, '?1'] })
  })

  it('of an operator that nobody knows they are taken, and named as assumed with all that follows', () => {
    const foreign = made({
      inputs: [x],
      nodes: [op('Mystery', 'x', 'a', {}, 'elsewhere'), op('Transpose', 'a', 'b'), op('Relu', 'x', 'c')],
      outputs: ['b', 'c'],
    })
    expect(inferShapes(foreign).types.has('b')).toBe(false)
    const inferred = inferShapes(declaring(foreign, [value('a', ['batch', -1, 4])]))
    expect(inferred.types.get('b')).toMatchObject({ shape: [4, '?1', 'batch'] })
    expect([...inferred.assumed].sort()).toEqual(['a', 'b'])
  })

  it('a declared type that contradicts what is certain is left', () => {
    const reshaped = made({ inputs: [x, value('s', ['k'], 'int64')], nodes: [op('Reshape', 'x s', 'y')] })
    expect(inferShapes(declaring(reshaped, [value('y', [3], 'int64')])).types.get('y')).toMatchObject({ shape: null })
    expect(inferShapes(declaring(reshaped, [value('y', [3])])).assumed).toContain('y')
  })
})

describe('inputs', () => {
  const sized = (shape: Parameters<typeof value>[1]): Model =>
    made({ inputs: [value('x', shape)], nodes: [op('Transpose', 'x', 'y')] })

  it.each([
    [
      [-1, 3],
      [3, '?1'],
    ],
    [
      [null, 3],
      [3, '?1'],
    ],
    [
      ['?', '?'],
      ['?2', '?1'],
    ],
    [
      ['-1', 'None'],
      ['?2', '?1'],
    ],
    [
      ['n', 'n'],
      ['n', 'n'],
    ],
    [
      [0, 3],
      [3, 0],
    ],
    [
      [2 ** 60, 3],
      [3, '?1'],
    ],
    [[], []],
    [null, null],
  ] as const)('%j turned is %j', (declared, turned) => {
    expect(inferShapes(sized(declared)).types.get('y')).toMatchObject({ shape: turned })
  })

  it("the caller's shapes stand for the declared ones, and bind names everywhere", () => {
    const two = made({
      inputs: [x, value('k', ['batch'])],
      nodes: [op('Identity', 'k', 'a'), op('Relu', 'x', 'y')],
      outputs: ['a', 'y'],
    })
    const inputs = new Map([['x', [6, 3]]])
    expect(inferShapes(two, { inputs }).types.get('a')).toMatchObject({ shape: [6] })
    const odd = inferShapes(sized(['n', 'n']), { inputs: new Map([['x', [2, 5]]]) })
    expect(odd.types.get('y')).toMatchObject({ shape: [5, 2] })
    expect(inferShapes(sized([2, 3]), { inputs: new Map([['x', [Number.NaN, -4]]]) }).types.get('y')).toMatchObject({
      shape: ['?2', '?1'],
    })
  })

  it('an initializer that is an input too is a constant in old files only', () => {
    const parts = {
      inputs: [x, value('s', [2], 'int64')],
      nodes: [op('Reshape', 'x s', 'y')],
      outputs: [{ name: 'y', type: null }],
      initializers: new Map([['s', int64s('s', 3, -1)]]),
    }
    const old = inferShapes(model(parts, { irVersion: 3 }))
    const now = inferShapes(model(parts, { irVersion: 8 }))
    expect(old.types.get('y')).toMatchObject({ shape: [3, 'batch'] })
    expect(now.types.get('y')).toMatchObject({ shape: ['?1', '?2'] })
    expect([old.constantOnly.has('s'), now.constantOnly.has('s')]).toEqual([true, false])
  })
})

it('tells weights from arithmetic on shapes, and both from data and chance', () => {
  const mixed = made({
    inputs: [x],
    nodes: [
      op('Transpose', 'w', 'wt'),
      op('Shape', 'x', 's'),
      op('Mul', 's two', 'twice'),
      op('RandomNormal', '', 'r', { shape: [2] }),
      op('Shape', 'r', 'known'),
      op('MatMul', 'x wt', 'm'),
      op('ConstantOfShape', 'twice', 'y'),
      op('Mystery', 'w', 'q', {}, 'elsewhere'),
    ],
    constants: [filled('w', 'float32', [4, 3]), int64s('two', 2, 2)],
    outputs: ['y', 'm', 'known', 'q'],
  })
  const { constantOnly, shapeOnly, known } = inferShapes(mixed)
  expect([...constantOnly].sort()).toEqual(['two', 'w', 'wt'])
  expect([...shapeOnly].sort()).toEqual(['known', 's', 'twice', 'two', 'w', 'wt', 'y'])
  expect(known.get('twice')).toEqual({ dims: [2], elements: ['batch*2', 6] })
})
