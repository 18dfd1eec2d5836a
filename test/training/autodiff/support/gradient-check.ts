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
import { isReferenced, lossOf, numbersOf, operatorOf } from './reference/index.ts'

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
  /** float32: the engine has no kernel in float64. */
  readonly type?: Float
  /** false: the engine has no kernel at all on a CPU, and runs only what is written out. */
  readonly hasKernel?: boolean
  /** Of the numbers that are drawn. */
  readonly seed?: number
  readonly opset?: number
  /** Of an older set: the same graph in set 18, for what computes in float64. */
  readonly modern?: Pick<Case, 'nodes' | 'others'>
  /** Names instead of numbers in the shapes of the inputs: what is not known before the graph runs. */
  readonly open?: boolean
  readonly request?: Partial<DifferentiationRequest>
}

/** What a case is made with: the same for a seed on every machine. */
export interface Draw {
  /** A whole number from `least` to `most`. */
  readonly size: (least: number, most: number) => number
}

export type RuleCase = readonly [name: string, make: (draw: Draw) => Case]

export function drawn([, make]: RuleCase, seed: number): Case {
  let state = seed + 1
  const size = (least: number, most: number): number => {
    state = (state * 48271) % 0x7fffffff
    return least + (state % (most - least + 1))
  }
  return { seed, ...make({ size }) }
}

export interface Checked {
  /** Greatest deviation by input, relative to the greatest element of its gradient. */
  readonly worst: number
  readonly gradients: ReadonlyMap<string, readonly number[]>
  readonly model: Model
}

/** Loss: the sum of the result's elements, the n-th one times cos(n); in old sets times its own sine. */
export async function check(given: Case): Promise<Checked> {
  const type = given.type ?? 'float64'
  const feeds = feedsOf(given, type)
  const made = lossModel(given, type, feeds)
  const { gradients, model: differentiated } = await gradientsOf(given, made, feeds)
  const forward = await load(made)
  const worst = await worstOf(given, gradients, (name) =>
    differences(feeds, name, type === 'float64' ? 1e-5 : 1e-2, (moved) => lossAt(forward, moved)),
  )
  await forward.release()
  return { worst, gradients, model: differentiated }
}

/** Of gradients in float32, and in float64 where the engine computes the operator in it. */
export interface Precision {
  readonly single: number
  readonly double: number | undefined
  /** How far the engine's own forward pass is from the one written for tests, where there are both. */
  readonly forward: number
}

/**
 * Gradients held against central differences in float64: of the forward passes written for tests where there are any, else of
 * the engine's own in float64. All see the same numbers, which float32 can tell.
 * @throws Error where nothing computes the case in float64
 */
export async function precisionOf(given: Case): Promise<Precision> {
  const hasDouble = given.type !== 'float32'
  const newer: Case = given.modern === undefined ? given : { ...given, opset: 18, ...given.modern }
  const [narrow, wide, inSet18] = [feedsOf(given, 'float32'), feedsOf(given, 'float64'), feedsOf(newer, 'float64')]
  const expected = new Map<string, readonly number[]>()
  let forward = 0
  if (isReferenced(newer.nodes)) {
    const lossOfCase = (moved: Readonly<Record<string, Tensor>>): number => {
      const feeds = new Map(Object.entries(moved).map(([name, tensor]) => [name, numbersOf(tensor)]))
      return lossOf(newer.nodes, feeds, resultOf(given), isOld(given))
    }
    for (const name of Object.keys(given.inputs)) expected.set(name, await differences(inSet18, name, 1e-5, lossOfCase))
    if (given.hasKernel !== false) {
      forward = await distance(lossModel(given, 'float32', narrow), narrow, lossOfCase(inSet18))
    }
  } else {
    if (!hasDouble && given.modern === undefined) {
      throw new Error(`nothing computes ${given.nodes.map(operatorOf).join(', ')} in float64`)
    }
    const graph = await load(lossModel(newer, 'float64', inSet18, isOld(given)))
    for (const name of Object.keys(given.inputs)) {
      expected.set(name, await differences(inSet18, name, 1e-5, (moved) => lossAt(graph, moved)))
    }
    await graph.release()
  }
  const worst = async (type: Float, feeds: Record<string, Tensor>): Promise<number> => {
    const { gradients } = await gradientsOf(given, lossModel(given, type, feeds), feeds)
    return worstOf(given, gradients, (name) => expected.get(name)!)
  }
  const double = hasDouble ? await worst('float64', wide) : undefined
  return { single: await worst('float32', narrow), double, forward }
}

/** Of the engine's loss from another, relative where it is larger than 1. */
async function distance(made: Model, feeds: Record<string, Tensor>, expected: number): Promise<number> {
  const graph = await load(made)
  const loss = await lossAt(graph, feeds)
  await graph.release()
  return Math.abs(loss - expected) / Math.max(1, Math.abs(expected))
}

interface Found {
  readonly gradients: ReadonlyMap<string, readonly number[]>
  readonly model: Model
}

async function gradientsOf(given: Case, made: Model, feeds: Record<string, Tensor>): Promise<Found> {
  const names = Object.keys(given.inputs)
  const { model: differentiated, gradients } = differentiate(made, { loss: 'loss', wrt: names, ...given.request })
  const backward = await load(differentiated)
  const results = await backward.run(feeds, [...gradients.values()])
  await backward.release()
  const found = names.map((name): [string, number[]] => [name, Array.from(results[gradients.get(name)!]!.data, Number)])
  return { gradients: new Map(found), model: differentiated }
}

async function worstOf(
  given: Case,
  gradients: ReadonlyMap<string, readonly number[]>,
  expectedOf: (name: string) => readonly number[] | Promise<readonly number[]>,
): Promise<number> {
  let worst = 0
  for (const name of Object.keys(given.inputs)) {
    const expected = await expectedOf(name)
    const scale = Math.max(1e-3, ...expected.map(Math.abs))
    const actual = gradients.get(name)!
    if (actual.length !== expected.length) throw new Error(`${name}: ${actual.length} and not ${expected.length}`)
    for (const [index, number] of actual.entries()) {
      const deviation = Math.abs(number - expected[index]!) / scale
      worst = Number.isNaN(deviation) ? Infinity : Math.max(worst, deviation)
    }
  }
  return worst
}

const isOld = ({ opset = 18 }: Case): boolean => opset < 11
const resultOf = (given: Case): string => given.result ?? given.nodes.at(-1)!.outputs[0]!

async function lossAt(forward: Graph, feeds: Record<string, Tensor>): Promise<number> {
  const { loss } = await forward.run(feeds, ['loss'])
  return Number(loss!.data[0])
}

function feedsOf(given: Case, type: Float): Record<string, Tensor> {
  const { inputs, others = {} } = given
  const floating = Object.entries(inputs).map(([name, form], index): [string, Tensor] => {
    const dims = 'dims' in form ? form.dims : form
    const count = dims.reduce((product, size) => product * size, 1)
    const elements = 'elements' in form ? form.elements : numbers(count, index + 1 + 10 * (given.seed ?? 0))
    return [name, floats(type, dims, elements.map(Math.fround))]
  })
  return { ...Object.fromEntries(floating), ...others }
}

function lossModel(given: Case, type: Float, feeds: Readonly<Record<string, Tensor>>, bySine = isOld(given)): Model {
  const result = resultOf(given)
  const opset = given.opset ?? 18
  const isOpen = (name: string): boolean => given.open === true && name in given.inputs && !WEIGHTS.has(name)
  const inputs = Object.entries(feeds).map(([name, { dims, type: own }]) =>
    value(name, isOpen(name) ? dims.map((_, axis) => `${name}${axis}`) : dims, own),
  )
  // Range is of operator set 11.
  const weights = bySine
    ? [op('Sin', result, 'loss/weights')]
    : [
        op('Size', result, 'loss/count'),
        op('Range', 'loss/zero loss/count loss/one', 'loss/places'),
        op('Cast', 'loss/places', 'loss/numbers', { to: type === 'float32' ? 1 : 11 }),
        op('Cos', 'loss/numbers', 'loss/flat'),
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

async function differences(
  feeds: Record<string, Tensor>,
  name: string,
  step: number,
  lossAt: (feeds: Record<string, Tensor>) => number | Promise<number>,
): Promise<number[]> {
  const tensor = feeds[name]!
  const data = tensor.data as Float64Array | Float32Array
  const slopes: number[] = []
  for (let index = 0; index < data.length; index++) {
    const at = async (offset: number): Promise<number> => {
      const moved = data.slice()
      moved[index] = data[index]! + offset
      return await lossAt({ ...feeds, [name]: { ...tensor, data: moved } })
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
