/** Gradients of small graphs held against central differences, both computed by the engine. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOrtEngine, writeModel } from '../../../../src/onnx/index.ts'
import type { Attribute, Graph, Model, Node, Tensor } from '../../../../src/onnx/index.ts'
import { differentiate } from '../../../../src/training/index.ts'
import type { DifferentiationRequest } from '../../../../src/training/index.ts'
import { model, value } from '../../../onnx/ir/support/build.ts'
import { int64, op } from '../../../onnx/shapes/support/graphs.ts'
import type { Attributes } from '../../../onnx/shapes/support/graphs.ts'

const engine = createOrtEngine()

/** From a file that is gone again when the graph is there: its weights are small, and not mapped. */
export async function load(made: Model): Promise<Graph> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-autodiff-'))
  try {
    const path = join(folder, 'graph.onnx')
    await writeModel(made, path)
    return await engine.load(path, { threads: 1 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export type Float = 'float32' | 'float64'

/** Numbers that repeat on every machine, between -1 and 1, none of them near 0 and no two alike. */
export function numbers(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, index) => {
    const turn = ((index + 1) * 0.6180339887498949 + seed * 0.7548776662466927) % 1
    return turn < 0.5 ? -0.1 - 1.6 * turn : 0.1 + 1.6 * (turn - 0.5)
  })
}

export function floats(type: Float, dims: readonly number[], values: readonly number[]): Tensor {
  return { type, dims, data: type === 'float32' ? Float32Array.from(values) : Float64Array.from(values) }
}

export function wholes(dims: readonly number[], ...values: readonly number[]): Tensor {
  return { type: 'int64', dims, data: BigInt64Array.from(values, BigInt) }
}

/** Inputs by these names are weights: their sizes are always known. */
const WEIGHTS: ReadonlySet<string> = new Set(['w'])

export interface Case {
  /** Float inputs whose gradients are checked, by shape, or with their elements. */
  readonly inputs: Readonly<
    Record<string, readonly number[] | { readonly dims: readonly number[]; readonly elements: readonly number[] }>
  >
  /** Inputs without a gradient. */
  readonly others?: Readonly<Record<string, Tensor>>
  readonly nodes: readonly Node[]
  /** The value of which a weighted sum is the loss; the first output of the last node. */
  readonly result?: string
  readonly type?: Float
  readonly opset?: number
  /** Names instead of numbers in the shapes of the inputs: what is not known before the graph runs. */
  readonly open?: boolean
  readonly request?: Partial<DifferentiationRequest>
}

export interface Checked {
  /** Greatest deviation by input, relative to the greatest element of its gradient. */
  readonly worst: number
  readonly gradients: ReadonlyMap<string, readonly number[]>
  readonly model: Model
}

/** Loss: the sum of the result's elements, the n-th one times sin(n); in old sets times its own sine. */
export async function check(given: Case): Promise<Checked> {
  const type = given.type ?? 'float64'
  const feeds = feedsOf(given, type)
  const made = lossModel(given, type, feeds)
  const names = Object.keys(given.inputs)
  const { model: differentiated, gradients } = differentiate(made, { loss: 'loss', wrt: names, ...given.request })
  const [forward, backward] = [await load(made), await load(differentiated)]
  const results = await backward.run(feeds, [...gradients.values()])
  const found = new Map(names.map((name) => [name, Array.from(results[gradients.get(name)!]!.data, Number)]))
  let worst = 0
  for (const name of names) {
    const expected = await differences(forward, feeds, name, type === 'float64' ? 1e-5 : 1e-2)
    const scale = Math.max(1e-3, ...expected.map(Math.abs))
    const actual = found.get(name)!
    if (actual.length !== expected.length) throw new Error(`${name}: ${actual.length} and not ${expected.length}`)
    for (const [index, number] of actual.entries()) {
      const deviation = Math.abs(number - expected[index]!) / scale
      worst = Number.isNaN(deviation) ? Infinity : Math.max(worst, deviation)
    }
  }
  await forward.release()
  await backward.release()
  return { worst, gradients: found, model: differentiated }
}

function feedsOf({ inputs, others = {} }: Case, type: Float): Record<string, Tensor> {
  const given = Object.entries(inputs).map(([name, form], index): [string, Tensor] => {
    const dims = 'dims' in form ? form.dims : form
    const count = dims.reduce((product, size) => product * size, 1)
    return [name, floats(type, dims, 'elements' in form ? form.elements : numbers(count, index + 1))]
  })
  return { ...Object.fromEntries(given), ...others }
}

function lossModel(given: Case, type: Float, feeds: Readonly<Record<string, Tensor>>): Model {
  const result = given.result ?? given.nodes.at(-1)!.outputs[0]!
  const opset = given.opset ?? 18
  const isOpen = (name: string): boolean => given.open === true && name in given.inputs && !WEIGHTS.has(name)
  const inputs = Object.entries(feeds).map(([name, { dims, type: own }]) =>
    value(name, isOpen(name) ? dims.map((_, axis) => `${name}${axis}`) : dims, own),
  )
  // Range is of operator set 11.
  const weights =
    opset < 11
      ? [op('Sin', result, 'loss/weights')]
      : [
          op('Size', result, 'loss/count'),
          op('Range', 'loss/zero loss/count loss/one', 'loss/places'),
          op('Cast', 'loss/places', 'loss/numbers', { to: type === 'float32' ? 1 : 11 }),
          op('Sin', 'loss/numbers', 'loss/flat'),
          op('Shape', result, 'loss/shape'),
          op('Reshape', 'loss/flat loss/shape', 'loss/weights'),
        ]
  const loss = [
    ...weights,
    op('Mul', `${result} loss/weights`, 'loss/weighed'),
    op('ReduceSum', 'loss/weighed', 'loss', { keepdims: 0 }),
  ]
  const constants = [int64('loss/zero', 0), int64('loss/one', 1)]
  return model(
    {
      nodes: [...given.nodes, ...loss],
      inputs,
      outputs: [{ name: 'loss', type: null }],
      initializers: new Map(constants.map((constant) => [constant.name, constant])),
    },
    {
      irVersion: opset >= 19 ? 10 : 8,
      opsets: new Map([
        ['', opset],
        ['com.microsoft', 1],
      ]),
    },
  )
}

async function differences(graph: Graph, feeds: Record<string, Tensor>, name: string, step: number): Promise<number[]> {
  const tensor = feeds[name]!
  const data = tensor.data as Float64Array | Float32Array
  const slopes: number[] = []
  for (let index = 0; index < data.length; index++) {
    const at = async (offset: number): Promise<number> => {
      const moved = data.slice()
      moved[index] = data[index]! + offset
      const { loss } = await graph.run({ ...feeds, [name]: { ...tensor, data: moved } }, ['loss'])
      return Number(loss!.data[0])
    }
    slopes.push(((await at(step)) - (await at(-step))) / (2 * step))
  }
  return slopes
}

/** A case of one node: its inputs are those of the case, in their order. */
export function one(
  opType: string,
  inputs: Case['inputs'],
  attributes: Attributes = {},
  more: Partial<Case> & { readonly names?: string; readonly outputs?: string; readonly domain?: string } = {},
): Case {
  const names = more.names ?? [...Object.keys(inputs), ...Object.keys(more.others ?? {})].join(' ')
  return { inputs, nodes: [op(opType, names, more.outputs ?? 'y', attributes, more.domain ?? '')], ...more }
}

export const real = (value: number): Attribute => ({ kind: 'float', value })
