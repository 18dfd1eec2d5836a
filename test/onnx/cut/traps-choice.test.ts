/** Where to cut, and whether, in graphs made to be nasty: one case for each thing that goes wrong. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blocksOf, choosePartitions, decide } from '../../../src/onnx/cut/index.ts'
import { checkModel } from '../../../src/onnx/ir/index.ts'
import { facts, filled, floats, graph, int64s, model, node, tensor, tensorType } from './support/build.ts'
import { blocksFor, expectEqualEverywhere, split } from './support/chain.ts'
import type { Types } from './support/chain.ts'

let directory: string
beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'weft-traps-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))

const F = tensorType('float32', ['n', 4])
const names = (values: readonly { readonly name: string }[]): string[] => values.map(({ name }) => name)

describe('3: balance', () => {
  it('is by cost and by all weights, in subgraphs and Constants too', () => {
    const heavy = (name: string) => node('Constant', [], [name], { value: filled('', [512], 1) })
    const branch = graph({
      nodes: [heavy('t'), node('Add', ['a', 't'], ['u'])],
      outputs: { u: tensorType('float32', [512]) },
    })
    const V = tensorType('float32', [512])
    const types = { x: V, a: V, k: V, b: V, y: V, c: tensorType('bool', []) }
    const made = model({
      inputs: { x: V, c: tensorType('bool', []) },
      outputs: { y: V },
      nodes: [
        node('Relu', ['x'], ['a']),
        heavy('k'),
        node('Add', ['a', 'k'], ['b']),
        node('If', ['c'], ['y'], { then_branch: branch, else_branch: branch }),
      ],
    })
    const made2 = {
      ...made,
      graph: {
        ...made.graph,
        outputs: [{ name: 'z', type: V }],
        nodes: [...made.graph.nodes, node('Add', ['y', 'b'], ['z'])],
      },
    }
    const blocks = blocksOf(
      checkModel(made2),
      facts(Object.entries({ ...types, z: V }), (at) => (at === 0 ? 9e-6 : 1e-6)),
      false,
    )
    expect(blocks.weights.map(({ bytes }) => bytes).sort((a, b) => a - b)).toEqual([2048, 4096])
    expect(choosePartitions(blocks, { parts: 2, bandwidth: 1e12 })!.cuts).toEqual([1])
    const fits = choosePartitions(blocks, { parts: 2, memoryLimit: 4096 + 3 * 2048 })
    expect(fits!.memory).toBeLessThanOrEqual(4096 + 3 * 2048)
  })
})

describe('5: what cannot be sent', () => {
  it('is not cut through: bfloat16, a sequence, 4-bit integers, an unknown rank', async () => {
    const B = tensorType('bfloat16', ['n', 4])
    const types: Types = { x: F, h: B, g: B, q: { kind: 'sequence', element: F }, l: F, y: F, e: F }
    const made = model({
      inputs: { x: F },
      outputs: { y: F },
      initializers: [int64s('zero', [0], [])],
      nodes: [
        node('Cast', ['x'], ['h'], { to: 16 }),
        node('Cast', ['h'], ['e'], { to: 1 }),
        node('SequenceConstruct', ['e', 'x'], ['q']),
        node('SequenceAt', ['q', 'zero'], ['l']),
        node('Relu', ['l'], ['y']),
      ],
    })
    const blocks = await expectEqualEverywhere(directory, made, types)
    expect(blocks.positions).toEqual({ all: 4, sendable: 2, offered: 2 })
    expect(blocks.starts).toEqual([0, 2, 4, 5])
    const unknown = blocksFor(made, { ...types, l: tensorType('float32', null), e: tensorType('uint4', ['n', 4]) })
    expect(decide(unknown, { parts: 3 })).toMatchObject({
      verdict: 'do-not-split',
      why: 'of the 4 places between its nodes there is none where only tensors cross that can be sent',
    })
  })
})

describe('6: fusions', () => {
  it('are not divided where parts run optimised, and may be where they do not', () => {
    const C = tensorType('float32', [1, 2, 4, 4])
    const one = floats('one', [2], [1, 1])
    const made = model({
      inputs: { x: C },
      outputs: { y: C },
      initializers: [one, floats('k', [2, 2, 1, 1], [1, 2, 3, 4])],
      nodes: [
        node('Conv', ['x', 'k'], ['a']),
        node('BatchNormalization', ['a', 'one', 'one', 'one', 'one'], ['b']),
        node('Relu', ['b'], ['c']),
        node('Softmax', ['c'], ['y']),
      ],
    })
    const types = { x: C, a: C, b: C, c: C, y: C }
    expect(blocksFor(made, types, true).starts).toEqual([0, 2, 3, 4])
    expect(blocksFor(made, types, false).starts).toEqual([0, 1, 2, 3, 4])
  })

  it('of quantised operators are cut at the quantised value, a quarter of the bytes', () => {
    const Q = tensorType('uint8', ['n', 4])
    const scale = [floats('s', [], [0.1]), tensor('z', 'uint8', [], Uint8Array.of(128))]
    const pair = (from: string, to: string) => [
      node('QuantizeLinear', [from, 's', 'z'], [`${to}q`]),
      node('DequantizeLinear', [`${to}q`, 's', 'z'], [to]),
    ]
    const made = model({
      inputs: { x: F },
      outputs: { y: F },
      initializers: [...scale, filled('w', [4, 4], 0.5)],
      nodes: [
        ...pair('x', 'a'),
        node('MatMul', ['a', 'w'], ['m']),
        ...pair('m', 'b'),
        node('MatMul', ['b', 'w'], ['r']),
        ...pair('r', 'y'),
      ],
    })
    const types = { x: F, aq: Q, a: F, m: F, bq: Q, b: F, r: F, yq: Q, y: F }
    const blocks = blocksFor(made, types, true)
    const { parts } = split(blocks, types, [1, 2])
    expect(parts.map(({ inputs }) => names(inputs))).toEqual([['x'], ['aq'], ['bq']])
    expect([...blocks.crossing]).toEqual([0, 4, 4, 0])
  })
})

describe('graphs made to cost time', () => {
  it('are cut all the same: a thousand ways into one softmax, and hubs', () => {
    const wide = Array.from({ length: 1000 }, (_, at) => `x${at}`)
    const nodes = wide.map((name) => node('Mul', ['x', 'x'], [name]))
    let [layer, made] = [wide, 0]
    for (let level = 0; level < 10; level++) {
      const outputs = layer.slice(0, 20).map(() => `y${made++}`)
      nodes.push(...outputs.map((name) => node('Sum', layer, [name])))
      nodes.push(...outputs.map((name) => node('Add', [name, outputs[0]!], [`${name}a`])))
      layer = outputs.map((name) => `${name}a`)
    }
    nodes.push(node('Concat', layer, ['s'], { axis: 0 }), node('Softmax', ['s'], ['y']))
    for (let at = 0; at < 2000; at++)
      nodes.push(node('Erf', ['y0'], [`e${at}`]), node('Add', [`e${at}`, 'y0'], [`f${at}`]))
    const ends = Array.from({ length: 2000 }, (_, at) => [`f${at}`, F] as const)
    const hub = model({ inputs: { x: F }, outputs: { y: F, ...Object.fromEntries(ends) }, nodes })
    const types = Object.fromEntries(nodes.flatMap(({ outputs }) => outputs.map((name) => [name, F] as const)))
    const blocks = blocksFor(hub, { x: F, ...types }, true)
    expect(blocks.order).toHaveLength(nodes.length)
    expect(choosePartitions(blocks, { parts: 4 })!.cuts).toHaveLength(3)
  })
})

describe('10: graphs that are better left whole', () => {
  it('are told so, with the reason and the best cuts', () => {
    const V = tensorType('float32', [32768])
    const big = (name: string) => node('Constant', [], [name], { value: filled('', [32768], 1) })
    const branch = graph({ nodes: [big('t'), node('Add', ['a', 't'], ['u'])], outputs: { u: V } })
    const types = { x: V, c: tensorType('bool', []), a: V, b: V, y: V }
    const made = model({
      inputs: { x: V, c: tensorType('bool', []) },
      outputs: { y: V },
      nodes: [
        node('Relu', ['x'], ['a']),
        node('If', ['c'], ['b'], { then_branch: branch, else_branch: branch }),
        node('Relu', ['b'], ['y']),
      ],
    })
    const one = facts(Object.entries(types), (at) => (at === 1 ? 1e-3 : 1e-6))
    const decision = decide(blocksOf(checkModel(made), one, false), { parts: 2 })
    expect(decision).toMatchObject({ chosen: { cuts: [] }, verdict: 'do-not-split', best: { cuts: [1] } })
    expect(decision.why).toMatch(/^one If node \("If_\d+"\) holds 100 % of the weights, and a node is not divided$/)
    // No weights, and a boundary that takes far longer to send than the work takes.
    const plain = model({
      inputs: { x: V },
      outputs: { y: V },
      nodes: [node('Relu', ['x'], ['a']), node('Abs', ['a'], ['y'])],
    })
    expect(decide(blocksFor(plain, types), { parts: 2 }).why).toMatch(
      /^what crosses the best cuts has 128.0 KiB, more than the weights \(0 B\)/,
    )
    expect(decide(blocksOf(checkModel(plain), { ...one, seconds: () => 1 }, false), { parts: 3 })).toMatchObject({
      chosen: { cuts: [1] },
      verdict: 'fewer-parts',
      why: 'of the 1 places between its nodes only 1 is one where a cut is possible and offered, so it makes 2 partitions',
    })
  })
})
