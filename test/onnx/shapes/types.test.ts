/** Element types follow from rules for every operator that ONNX has, of values of which not even the rank is known. */
import { describe, expect, it } from 'vitest'
import type { DataType, Graph, ValueType } from '../../../src/onnx/ir/index.ts'
import { inferShapes } from '../../../src/onnx/shapes/index.ts'
import { model } from '../ir/support/build.ts'
import { MICROSOFT, op, value } from './support/graphs.ts'
import type { Attributes } from './support/graphs.ts'
import { OPERATOR_TYPES } from './support/operator-types.ts'

/** `seq:float32` is a sequence of tensors. */
function typeOf(text: string): ValueType {
  const [kind, rest] = text.split(/:(.*)/)
  if (kind === 'seq') return { kind: 'sequence', element: typeOf(rest!) }
  if (kind === 'opt') return { kind: 'optional', element: typeOf(rest!) }
  return { kind: 'tensor', type: text as DataType, shape: null }
}

function textOf(type: ValueType | undefined): string {
  if (type === undefined) return 'unknown'
  if (type.kind === 'sequence') return `seq:${type.element === null ? 'unknown' : textOf(type.element)}`
  if (type.kind === 'optional') return `opt:${type.element === null ? 'unknown' : textOf(type.element)}`
  return type.kind === 'map' ? 'map' : type.type
}

interface Row {
  readonly domain: string
  readonly operator: string
  readonly version: number
  readonly attributes: Attributes
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

function inferred({ domain, operator, version, attributes, inputs, outputs }: Row): readonly string[] {
  const [given, made] = [inputs.map((_, at) => `i${at}`), outputs.map((_, at) => `o${at}`)]
  const graph: Partial<Graph> = {
    inputs: given.map((name, at) => ({ name, type: typeOf(inputs[at]!) })),
    nodes: [op(operator, given.join(' '), made.join(' '), attributes, domain)],
    outputs: made.map((name) => ({ name, type: null })),
  }
  const opsets = new Map([
    ['', domain === '' ? version : 18],
    [domain, version],
  ])
  const { types } = inferShapes(model(graph, { irVersion: 10, opsets }))
  return made.map((name) => textOf(types.get(name)))
}

describe('every operator of the standard', () => {
  it.each(OPERATOR_TYPES.map((row) => [`${row.domain}:${row.operator}`, row] as const))('%s', (_, row) => {
    expect(inferred(row)).toEqual(row.outputs)
  })

  it('are as many as there are', () => expect(OPERATOR_TYPES.length).toBeGreaterThanOrEqual(210))
})

describe('operators beside the standard', () => {
  it.each<[string, string, string, Attributes?]>([
    ['MurmurHash3', 'string', 'uint32'],
    ['MurmurHash3', 'int64', 'int32', { positive: 0 }],
    ['WordConvEmbedding', 'int32 float32 float32 float32', 'float32'],
    ['GreedySearch', 'int32 int32', 'int32'],
    ['BeamSearch', 'int32 int32 int32 int32 int32 float16', 'int32 float16 float16'],
    ['BiasDropout', 'float16 float16', 'float16 bool'],
    ['BitmaskDropout', 'float32', 'float32 uint32'],
    ['MoE', 'float16 float16 float16', 'float16'],
    ['MulInteger', 'uint8 uint8 uint8', 'int32'],
    ['DecoderMaskedSelfAttention', 'float16 float16 float16 int32 float16', 'float16 float16'],
    ['RemovePadding', 'float16 int32', 'float16 int32 int32 int32'],
    ['Tokenizer', 'string', 'string'],
  ])('%s of %s', (operator, inputs, outputs, attributes = {}) => {
    const row = { domain: MICROSOFT, operator, version: 1, attributes }
    expect(inferred({ ...row, inputs: inputs.split(' '), outputs: outputs.split(' ') })).toEqual(outputs.split(' '))
  })

  it('a step of Adam gives tensors and states, not gradients', () => {
    const row = { domain: 'ai.onnx.preview.training', operator: 'Adam', version: 1, attributes: {} }
    const pairs = ['float32', 'float64']
    const inputs = ['float32', 'int64', ...pairs, ...pairs, ...pairs, ...pairs]
    expect(inferred({ ...row, inputs, outputs: [...pairs, ...pairs, ...pairs] })).toEqual([
      ...pairs,
      ...pairs,
      ...pairs,
    ])
  })
})

it('Scan of opset 8 sees neither batch nor sequence inside, and both are there outside', () => {
  const body: Graph = model({
    inputs: [value('sum', [2]), value('next', [2])],
    nodes: [op('Add', 'sum next', 'total'), op('Identity', 'total', 'each')],
    outputs: [value('total', [2]), value('each', [2])],
  }).graph
  const node = op('Scan', '_ start x', 'end all', { num_scan_inputs: 1, body: { kind: 'graph', value: body } })
  const scanned = model(
    {
      inputs: [value('start', ['b', 2]), value('x', ['b', 's', 2])],
      nodes: [node],
      outputs: [
        { name: 'end', type: null },
        { name: 'all', type: null },
      ],
    },
    { opsets: new Map([['', 8]]) },
  )
  const { types } = inferShapes(scanned)
  expect(types.get('end')).toEqual({ kind: 'tensor', type: 'float32', shape: ['b', 2] })
  expect(types.get('all')).toEqual({ kind: 'tensor', type: 'float32', shape: ['b', 's', 2] })
})

it('LabelEncoder of version 1 without classes maps to the other type', () => {
  const row = { domain: 'ai.onnx.ml', operator: 'LabelEncoder', version: 1, attributes: {}, outputs: ['int64'] }
  expect(inferred({ ...row, inputs: ['string'] })).toEqual(['int64'])
})
