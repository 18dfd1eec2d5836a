/**
 * A small convolutional net whose gradient is differentiated a second time: what an attacker descends by who holds a gradient and
 * looks for the image behind it (DLG, Zhu et al. 2019; by the cosine and with total variation, Geiping et al. 2020).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Seeded } from '../../src/data/index.ts'
import { createOrtEngine, writeModel } from '../../src/onnx/index.ts'
import type { Graph, Model, Tensor } from '../../src/onnx/index.ts'
import { differentiate } from '../../src/training/index.ts'
import { emptyModel, GraphMaker } from '../../src/training/graph/graph-maker.ts'

export const SIDE = 8
export const PIXELS = SIDE * SIDE
const CLASSES = 4
const CHANNELS = [8, 8] as const

/** Of the cost, so that smooth images are preferred a little. */
const VARIATION = 1e-3
const RATE = 0.05

export interface DeepNetwork {
  /** Of one image, all parameters one behind the other. */
  gradient(image: Float32Array, label: number): Promise<Float32Array>
  /** The image that is found behind a gradient, from a start, after so many steps. */
  invert(wanted: Float32Array, label: number, start: Float32Array, steps: number): Promise<Float32Array>
  close(): Promise<void>
}

interface Parameter {
  readonly name: string
  readonly dims: readonly number[]
  readonly from: number
  readonly to: number
}

interface Victim {
  readonly model: Model
  readonly parameters: readonly Parameter[]
}

/** Without pooling and with a smooth activation: what the attack finds easiest. */
function victim(seeded: Seeded): Victim {
  const maker = new GraphMaker(emptyModel('victim'))
  const parameters: Parameter[] = []
  const parameter = (name: string, dims: readonly number[], scale: number): string => {
    const count = dims.reduce((product, dim) => product * dim, 1)
    const from = parameters.at(-1)?.to ?? 0
    parameters.push({ name, dims, from, to: from + count })
    return maker.parameter(
      name,
      dims,
      Float32Array.from({ length: count }, () => scale * seeded.normal()),
    )
  }
  let value = maker.input('x', 'float32', [1, 1, SIDE, SIDE])
  let channels = 1
  for (const [index, to] of CHANNELS.entries()) {
    const weights = parameter(`w${index}`, [to, channels, 3, 3], 1 / Math.sqrt(9 * channels))
    const bias = parameter(`b${index}`, [to], 0.1)
    value = maker.op('Tanh', [maker.op('Conv', [value, weights, bias], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })])
    channels = to
  }
  const flat = maker.op('Flatten', [value], { axis: 1 })
  const weights = parameter('head', [channels * PIXELS, CLASSES], 1 / Math.sqrt(channels * PIXELS))
  const scores = maker.op('Add', [maker.op('MatMul', [flat, weights]), parameter('out', [1, CLASSES], 0.1)])
  const target = maker.input('target', 'float32', [1, CLASSES])
  const logs = maker.op('LogSoftmax', [scores], { axis: 1 })
  const loss = maker.op('Neg', [maker.op('ReduceSum', [maker.op('Mul', [target, logs])], { keepdims: 0 })])
  maker.output('loss', 'float32', [], loss)
  return { model: maker.model(), parameters }
}

/** One less the cosine between the gradient and a wanted one, and how uneven the image is. */
function withCost(model: Model, parameters: readonly Parameter[], gradients: ReadonlyMap<string, string>): Model {
  const maker = new GraphMaker(model, 'cost')
  const sum = (value: string): string => maker.op('ReduceSum', [value], { keepdims: 0 })
  const total = (values: readonly string[]): string => values.reduce((one, other) => maker.op('Add', [one, other]))
  const pairs = parameters.map(({ name, dims }) => {
    const wanted = maker.input(`wanted_${name}`, 'float32', [...dims])
    return [gradients.get(name)!, wanted] as const
  })
  const product = total(pairs.map(([own, wanted]) => sum(maker.op('Mul', [own, wanted]))))
  const norm = (which: 0 | 1): string =>
    maker.op('Sqrt', [total(pairs.map((pair) => sum(maker.op('Mul', [pair[which], pair[which]]))))])
  const cosine = maker.op('Div', [product, maker.op('Mul', [norm(0), norm(1)])])
  const slice = (axis: number, from: number, to: number): string =>
    maker.op('Slice', ['x', maker.int64s([from]), maker.int64s([to]), maker.int64s([axis])])
  const uneven = [2, 3].map((axis) => {
    const step = maker.op('Sub', [slice(axis, 1, SIDE), slice(axis, 0, SIDE - 1)])
    return maker.op('ReduceMean', [maker.op('Abs', [step])], { keepdims: 0 })
  })
  const variation = maker.op('Mul', [total(uneven), maker.scalar(VARIATION)])
  maker.output('cost', 'float32', [], maker.op('Add', [maker.op('Sub', [maker.scalar(1), cosine]), variation]))
  return maker.model()
}

const tensor = (data: Float32Array, dims: readonly number[]): Tensor => ({ type: 'float32', dims, data })
const target = (label: number): Tensor =>
  tensor(
    Float32Array.from({ length: CLASSES }, (_, at) => Number(at === label)),
    [1, CLASSES],
  )
const image = (pixels: Float32Array): Tensor => tensor(pixels, [1, 1, SIDE, SIDE])

export async function deepNetwork(seeded: Seeded): Promise<DeepNetwork> {
  const { model, parameters } = victim(seeded)
  const once = differentiate(model, { loss: 'loss', wrt: parameters.map(({ name }) => name) })
  const costly = withCost(once.model, parameters, once.gradients)
  const twice = differentiate(costly, { loss: 'cost', wrt: ['x'] })
  const slope = twice.gradients.get('x')!
  const folder = mkdtempSync(join(tmpdir(), 'weft-attack-deep-'))
  const load = async (made: Model, name: string): Promise<Graph> => {
    await writeModel(made, join(folder, name))
    return createOrtEngine().load(join(folder, name), { threads: 1, optimization: 'all' })
  }
  const [plain, doubled] = [await load(once.model, 'once.onnx'), await load(twice.model, 'twice.onnx')]
  rmSync(folder, { recursive: true })
  return {
    async gradient(pixels, label) {
      const results = await plain.run({ x: image(pixels), target: target(label) }, [...once.gradients.values()])
      const all = new Float32Array(parameters.at(-1)!.to)
      for (const { name, from } of parameters) all.set(results[once.gradients.get(name)!]!.data as Float32Array, from)
      return all
    },
    async invert(wanted, label, start, steps) {
      const feeds = Object.fromEntries(
        parameters.map(({ name, dims, from, to }) => [`wanted_${name}`, tensor(wanted.slice(from, to), dims)]),
      )
      return descend(start, steps, async (pixels) => {
        const results = await doubled.run({ ...feeds, x: image(pixels), target: target(label) }, [slope])
        return results[slope]!.data as Float32Array
      })
    },
    async close() {
      await plain.release()
      await doubled.release()
    },
  }
}

/** Adam by the sign of the slope, as the attack's authors do, with a rate that falls to zero; pixels stay from 0 to 1. */
async function descend(
  start: Float32Array,
  steps: number,
  slopeAt: (pixels: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  const pixels = start.slice()
  const [first, second] = [new Float64Array(PIXELS), new Float64Array(PIXELS)]
  for (let step = 1; step <= steps; step++) {
    const slope = await slopeAt(pixels)
    const rate = RATE * (0.5 + 0.5 * Math.cos((Math.PI * step) / steps))
    for (let at = 0; at < PIXELS; at++) {
      const value = slope[at]!
      first[at] = 0.9 * first[at]! + 0.1 * value
      second[at] = 0.999 * second[at]! + 0.001 * value * value
      const mean = first[at]! / (1 - 0.9 ** step)
      const spread = Math.sqrt(second[at]! / (1 - 0.999 ** step)) + 1e-12
      pixels[at] = Math.min(1, Math.max(0, pixels[at]! - (rate * mean) / spread))
    }
  }
  return pixels
}
