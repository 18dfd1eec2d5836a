/** The check itself: what it compares, what it takes for inputs, and that it finds what is not the same. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { feedCases } from '../../../src/onnx/cut/index.ts'
import { TENSOR_ARRAYS } from '../../../src/onnx/index.ts'
import { checkModel, writeModel } from '../../../src/onnx/ir/index.ts'
import type { DataType, Model, ValueInfo } from '../../../src/onnx/ir/index.ts'
import { floats, model, node, tensor, tensorType } from './support/build.ts'
import { blocksFor, chain, split, whole } from './support/chain.ts'

let directory: string
beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-cut-check-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

const F = tensorType('float32', ['n', 4])

async function outcome(made: Model, parts: readonly Model[]) {
  const path = join(directory, 'whole.onnx')
  await writeModel(checkModel(made), path)
  const runs = await whole(path, made, 'off')
  return chain(
    directory,
    runs,
    parts.map((each) => ({ model: each, inputs: each.graph.inputs, outputs: each.graph.outputs, carries: new Map() })),
  )
}

/** `x + b` of which `b` is one element's worth of bits. */
const addition = (bits: number): Model =>
  model({
    inputs: { x: F },
    outputs: { y: F },
    initializers: [tensor('b', 'float32', [1], Uint32Array.of(bits))],
    nodes: [node('Mul', ['x', 'zero'], ['m']), node('Add', ['m', 'b'], ['y'])],
  })

function withZero(made: Model): Model {
  const initializers = new Map([...made.graph.initializers, ['zero', floats('zero', [1], [0])] as const])
  return { ...made, graph: { ...made.graph, initializers } }
}

describe('a comparison', () => {
  it('sees the last bit, the sign of zero, and what a NaN carries', async () => {
    const compare = (left: number, right: number) => outcome(withZero(addition(left)), [withZero(addition(right))])
    expect(await compare(0x3f800000, 0x3f800000)).toEqual({ kind: 'equal', cases: 2, compared: 12 })
    expect(await compare(0x3f800000, 0x3f800001)).toEqual({ kind: 'differs', output: 'y', part: 0, case: 0 })
    expect(await compare(0x7fc00001, 0x7fc00002)).toMatchObject({ kind: 'differs' })
    expect(await compare(0x7fc00001, 0x7fc00001)).toMatchObject({ kind: 'equal' })
  })

  it('wants every output, and takes a part that the engine refuses for no proof', async () => {
    const made = model({
      inputs: { x: F },
      outputs: { y: F, z: F },
      nodes: [node('Relu', ['x'], ['y']), node('Abs', ['y'], ['z'])],
    })
    const some = model({ inputs: { x: F }, outputs: { y: F }, nodes: [node('Relu', ['x'], ['y'])] })
    expect(await outcome(made, [some])).toEqual({ kind: 'differs', output: 'z', part: 0, case: 0 })
    const odd = model({ inputs: { y: F }, outputs: { z: F }, nodes: [node('NoSuchOperator', ['y'], ['z'])] })
    expect(await outcome(made, [some, odd])).toMatchObject({
      kind: 'refused',
      part: 1,
      why: expect.stringContaining('NoSuch'),
    })
  })

  it('is none where the whole model does not run', async () => {
    const sequence = { kind: 'sequence', element: F } as const
    const made = model({
      inputs: { s: sequence },
      outputs: { y: F },
      nodes: [node('ConcatFromSequence', ['s'], ['y'], { axis: 0 })],
    })
    expect(await outcome(made, [made])).toEqual({
      kind: 'unchecked',
      why: 'no input can be made for "s": the binding takes no such type',
    })
  })
})

describe('tensors of every type', () => {
  const types: readonly DataType[] = [...(Object.keys(TENSOR_ARRAYS) as DataType[]), 'string']

  it.each(types)('%s crosses a cut, with nothing in it and as a scalar too', async (type) => {
    const shapes = { x: ['n', 3], e: [0, 3], s: [] } as const
    const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, tensorType(type, shape)]))
    const nodes = Object.keys(shapes).flatMap((name) => [
      node('Identity', [name], [`${name}1`]),
      node('Identity', [`${name}1`], [`${name}2`]),
    ])
    const outputs = Object.fromEntries(Object.entries(inputs).map(([name, each]) => [`${name}2`, each]))
    const made = model({ inputs, outputs, nodes })
    const all = Object.fromEntries(
      Object.entries(inputs).flatMap(([name, each]) => ['', '1', '2'].map((end) => [`${name}${end}`, each])),
    )
    const { graph } = checkModel(made)
    const order = nodes.map((_, at) => at).filter((at) => at % 2 === 0)
    // All the first Identities, then all the second ones: three values cross.
    const mixed = {
      ...made,
      graph: { ...graph, nodes: [...order, ...order.map((at) => at + 1)].map((at) => graph.nodes[at]!) },
    }
    const blocks = { ...blocksFor(mixed, all), order: [0, 1, 2, 3, 4, 5], starts: [0, 3, 6] }
    const { models, parts } = split(blocks, all, [1])
    const crossing = parts[1]!.inputs.map(({ name }) => name)
    expect(crossing).toEqual(['x1', 'e1', 's1'])
    const path = join(directory, `${type}.onnx`)
    await writeModel(mixed, path)
    expect(await chain(directory, await whole(path, mixed, 'off'), models)).toMatchObject({ kind: 'equal', cases: 2 })
  })
})

describe('inputs that are made up', () => {
  const info = (name: string, type: DataType, shape: readonly (string | number | null)[]): ValueInfo => ({
    name,
    type: tensorType(type, shape),
  })

  it('are the same each time, of two batches and lengths, alike where names are', () => {
    const inputs = [
      info('input_ids', 'int64', ['batch', 'sequence']),
      info('attention_mask', 'int64', ['batch', 'sequence']),
      info('state', 'float32', [2, null, 128]),
      info('image', 'float32', [-1, 3, 'height', 'width']),
      info('sr', 'int64', []),
    ]
    const [first, second] = feedCases(inputs)
    expect([...feedCases(inputs)][0]).toEqual(first)
    expect(Object.values(first!).map(({ dims }) => dims)).toEqual([[1, 8], [1, 8], [2, 1, 128], [1, 3, 64, 64], []])
    expect(Object.values(second!).map(({ dims }) => dims)).toEqual([[2, 5], [2, 5], [2, 2, 128], [2, 3, 96, 96], []])
    expect([first!['sr']!.data, second!['sr']!.data]).toEqual([BigInt64Array.of(16000n), BigInt64Array.of(8000n)])
    const ids = first!['input_ids']!.data as BigInt64Array
    expect(ids.every((id) => id >= 0n && id < 8n)).toBe(true)
    expect((first!['attention_mask']!.data as BigInt64Array)[0]).toBe(1n)
  })

  it('are finite and not all alike', () => {
    for (const type of ['float32', 'float64'] as const) {
      const data = feedCases([info('x', type, [64])]).next().value!['x']!.data as Float64Array
      expect(new Set(data).size).toBeGreaterThan(32)
      expect(data.every(Number.isFinite)).toBe(true)
    }
    const bits = feedCases([info('x', 'float16', [64])]).next().value!['x']!.data as Uint16Array
    // No infinity, no NaN: the exponent is not all ones.
    expect(bits.every((each) => (each & 0x7c00) !== 0x7c00)).toBe(true)
  })

  it('are left out where they would need too much memory', () => {
    expect([...feedCases([info('x', 'float32', [1 << 14, 1 << 14])])]).toEqual([])
  })
})
