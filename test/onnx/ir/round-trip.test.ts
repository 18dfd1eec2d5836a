/** What is written is read again as it was: every kind of attribute, type and tensor that ONNX has. */
import { readFile } from 'node:fs/promises'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DATA_TYPES, ELEMENT_BITS, readModel, readTensor, tensorBytes, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Attribute, DataType, Model, Node, SparseTensorValue, ValueType } from '../../../src/onnx/ir/index.ts'
import { definition, floats, graph, model, node, tensor, value } from './support/build.ts'
import { testFolder } from './support/folder.ts'

const at = testFolder()

async function roundTrip(written: Model): Promise<Model> {
  await writeModel(written, at('model.onnx'))
  return await readModel(at('model.onnx'))
}

const attributed = (attributes: Readonly<Record<string, Attribute>>): Model =>
  model({ nodes: [node('Anything', ['x', '', 'z'], ['', 'y'], attributes)] })

const SPARSE: SparseTensorValue = {
  values: floats('s', 1, 2),
  indices: tensor('', 'int64', [2], BigInt64Array.of(0n, 5n)),
  dims: [2, 3],
}
const TYPE: ValueType = { kind: 'tensor', type: 'float16', shape: ['n', 3, null] }
const BODY = graph({
  nodes: [node('Add', ['x', 'w'], ['t'])],
  inputs: [value('i', [], 'int64')],
  outputs: [value('t', null)],
  initializers: new Map([['w', floats('w', 1)]]),
})
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

const ATTRIBUTES: readonly Attribute[] = [
  { kind: 'float', value: 0 },
  { kind: 'float', value: -1.5 },
  { kind: 'float', value: Number.NEGATIVE_INFINITY },
  { kind: 'float', value: Number.NaN },
  { kind: 'int', value: 0n },
  { kind: 'int', value: -1n },
  { kind: 'int', value: 2n ** 63n - 1n },
  { kind: 'int', value: -(2n ** 63n) },
  { kind: 'string', value: bytes('') },
  { kind: 'string', value: Uint8Array.of(0xff, 0, 0xfe) },
  { kind: 'tensor', value: floats('', 1, 2, 3) },
  { kind: 'sparse', value: SPARSE },
  { kind: 'graph', value: BODY },
  { kind: 'type', value: TYPE },
  { kind: 'type', value: null },
  { kind: 'floats', values: [] },
  { kind: 'floats', values: [1, -0, 3.5] },
  { kind: 'ints', values: [] },
  { kind: 'ints', values: [0n, -5n, 127n, 128n, 2n ** 31n, 2n ** 62n, -(2n ** 63n)] },
  { kind: 'strings', values: [] },
  { kind: 'strings', values: [bytes('é'), bytes(''), bytes('x')] },
  { kind: 'tensors', values: [floats('a', 1), floats('b')] },
  { kind: 'sparses', values: [SPARSE] },
  { kind: 'graphs', values: [BODY, graph({ name: '' })] },
  { kind: 'types', values: [TYPE, null] },
]

describe('attributes', () => {
  it.each(ATTRIBUTES.map((attribute) => [attribute.kind, attribute] as const))('of kind %s', async (_, attribute) => {
    expect(await roundTrip(attributed({ a: attribute }))).toEqual(attributed({ a: attribute }))
  })

  it('are found by any name', async () => {
    const names = ['__proto__', '1', 'constructor', 'e\u0301', '\u00e9', '\u{1f642}', '']
    const attributes = new Map(names.map((name, index) => [name, { kind: 'int', value: BigInt(index) }] as const))
    const read = await roundTrip(model({ nodes: [node('Anything', [], [], {}, { attributes })] }))
    expect([...read.graph.nodes[0]!.attributes]).toEqual([...attributes])
  })
})

const TYPES: readonly (ValueType | null)[] = [
  null,
  TYPE,
  { kind: 'tensor', type: 'bool', shape: [] },
  { kind: 'tensor', type: 'string', shape: null },
  { kind: 'tensor', type: 'int64', shape: [0, 2 ** 53 - 1] },
  { kind: 'sparse', type: 'float32', shape: [3, null] },
  { kind: 'sequence', element: TYPE },
  { kind: 'sequence', element: null },
  { kind: 'optional', element: { kind: 'sequence', element: TYPE } },
  { kind: 'map', key: 'int64', value: { kind: 'tensor', type: 'float32', shape: null } },
  { kind: 'map', key: 'string', value: null },
]

describe('types of values', () => {
  it.each(TYPES.map((type) => [JSON.stringify(type), type]))('%s', async (_, type) => {
    const info = { name: 'v', type }
    const written = model({ inputs: [info], outputs: [info], values: new Map([['v', info]]) })
    expect(await roundTrip(written)).toEqual(written)
  })
})

describe('tensors', () => {
  const types = (Object.keys(DATA_TYPES) as DataType[]).filter((type) => type !== 'string')

  it.each(types)('of %s, from a scalar to what lies in the file', async (type) => {
    const shapes = [[], [0], [3], [5, 0, 7], [2, 3], [1025]]
    const tensors = shapes.map((dims, index) => {
      const content = Uint8Array.from({ length: tensorBytes('', type, dims) }, (_, byte) => (byte * 7 + 1) & 0xff)
      return tensor(`t${index}`, type, dims, content)
    })
    const read = await roundTrip(model({ initializers: new Map(tensors.map((each) => [each.name, each])) }))
    for (const each of tensors) {
      const found = read.graph.initializers.get(each.name)!
      expect(found).toMatchObject({ name: each.name, type, dims: each.dims })
      expect(found.data.kind).toBe((ELEMENT_BITS[type] * 1025) / 8 >= 1024 && each.name === 't5' ? 'range' : 'bytes')
      expect(await readTensor(found)).toEqual(await readTensor(each))
    }
  })

  it('of strings', async () => {
    const data = { kind: 'strings', values: [bytes('naïve'), bytes(''), Uint8Array.of(255)] } as const
    const text = { name: 't', type: 'string', dims: [3, 1], data } as const
    const empty = { name: 'e', type: 'string', dims: [0], data: { kind: 'strings', values: [] } } as const
    const written = model({ initializers: new Map(Object.entries({ t: text, e: empty })) })
    expect(await roundTrip(written)).toEqual(written)
  })

  it('give their elements as JavaScript has them', async () => {
    const read = async (type: DataType, dims: readonly number[], ...content: number[]): Promise<unknown> =>
      await readTensor(tensor('t', type, dims, content))
    expect(await read('int4', [3], 0xf1, 0x08)).toEqual(Int8Array.of(1, -1, -8))
    expect(await read('uint4', [3], 0xf1, 0x08)).toEqual(Uint8Array.of(1, 15, 8))
    expect(await read('int2', [5], 0b11_10_01_00, 0b10)).toEqual(Int8Array.of(0, 1, -2, -1, -2))
    expect(await read('bool', [2], 1, 0)).toEqual(Uint8Array.of(1, 0))
    expect(await read('int64', [], 1, 0, 0, 0, 0, 0, 0, 0x80)).toEqual(BigInt64Array.of(1n - 2n ** 63n))
    expect(await read('complex64', [1], 0, 0, 128, 63, 0, 0, 0, 64)).toEqual(Float32Array.of(1, 2))
    expect(await read('float16', [1], 0, 0x3c)).toEqual(Uint16Array.of(0x3c00))
  })
})

describe('models', () => {
  const whole: Model = {
    ...model({
      name: '',
      nodes: [
        node('Relu', ['x'], ['a'], {}, { name: 'n', metadata: new Map([['k', 'v']]) }),
        node('F', ['a'], ['y'], { alpha: { kind: 'float', value: 2 } }, { domain: 'own', overload: 'two' }),
      ],
      inputs: [value('x', ['batch', 3])],
      outputs: [value('y', null)],
      initializers: new Map([['w', floats('w', 1, 2)]]),
      sparseInitializers: new Map([['s', SPARSE]]),
      values: new Map([['a', value('a')]]),
      quantization: new Map([['a', new Map([['SCALE_TENSOR', 'w']])]]),
      metadata: new Map([['graph', 'one']]),
    }),
    irVersion: 13,
    opsets: new Map([
      ['', 26],
      ['own', 3],
      ['com.microsoft', 1],
    ]),
    producer: { name: 'p', version: '1.2' },
    domain: 'some.where',
    modelVersion: -(2n ** 60n),
    metadata: new Map([
      ['2', 'b'],
      ['1', 'a'],
    ]),
    functions: [
      definition({
        name: 'F',
        overload: 'two',
        inputs: ['a', 'c'],
        attributes: ['beta'],
        defaults: new Map([['alpha', { kind: 'float', value: 1 }]]),
        nodes: [node('LeakyRelu', ['a'], ['b'], { alpha: { kind: 'reference', name: 'alpha', type: 1 } })],
        values: new Map([['b', value('b')]]),
        metadata: new Map([['m', '']]),
      }),
    ],
  }

  it('with all that one can have', async () => {
    expect(await roundTrip(whole)).toEqual(whole)
  })

  it('are the same bytes each time, also after reading', async () => {
    await writeModel(whole, at('one.onnx'))
    await writeModel(await readModel(at('one.onnx')), at('two.onnx'))
    await writeModel(whole, at('one.onnx'))
    expect(await readFile(at('two.onnx'))).toEqual(await readFile(at('one.onnx')))
  })

  it('with names and numbers of any kind', async () => {
    const name = fc.string({ unit: 'grapheme' })
    const attribute: fc.Arbitrary<Attribute> = fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((number) => ({ kind: 'int' as const, value: number })),
      fc.float().map((number) => ({ kind: 'float' as const, value: number })),
      fc.array(fc.float()).map((values) => ({ kind: 'floats' as const, values })),
      fc.uint8Array({ maxLength: 9000 }).map((text) => ({ kind: 'string' as const, value: text })),
    )
    const operator: fc.Arbitrary<Node> = fc
      .tuple(fc.array(name), fc.array(name), name, fc.array(fc.tuple(name, attribute), { maxLength: 5 }))
      .map(([inputs, outputs, own, attributes]) =>
        node('Op', inputs, outputs, {}, { name: own, attributes: new Map(attributes) }),
      )
    await fc.assert(
      fc.asyncProperty(fc.array(operator, { maxLength: 20 }), async (nodes) => {
        const written = model({ nodes })
        expect(await roundTrip(written)).toEqual(written)
      }),
      { numRuns: 60, seed: 4 },
    )
  })

  it('of many nodes, whatever falls on the borders of windows and chunks', async () => {
    const nodes = Array.from({ length: 1500 }, (_, index) =>
      node('Op', ['x'.repeat(index % 97)], [`v${index}`], {
        a: { kind: 'string', value: new Uint8Array(index % 131 === 0 ? 10 * index : index % 131) },
      }),
    )
    const long = node('Op', ['\u20ac'.repeat(30_000)], [])
    const written = model({ nodes: [...nodes, long] })
    expect(await roundTrip(written)).toEqual(written)
  })
})
