/** Layers as nodes, with parameters that have been given their first values. */
import { createSeeded } from '../../data/index.ts'
import type { GraphMaker } from '../graph/graph-maker.ts'
import { glorotUniform, hashValue, heNormal, zeros } from './initialisers.ts'
import type { Initialiser } from './initialisers.ts'

export type ActivationName = 'relu' | 'tanh' | 'gelu' | 'silu' | 'sigmoid' | 'none'

/** How parameters get their first values: by the papers from a seed, all zero, or by the formula that needs no seed. */
export type InitSpec = 'zeros' | 'hash' | { readonly seed: number }

export class Layers {
  readonly maker: GraphMaker
  /** In the order of their making. */
  readonly parameters: string[] = []
  readonly #init: InitSpec
  /** Of all parameters so far, for the formula. */
  #count = 0

  constructor(maker: GraphMaker, init: InitSpec) {
    this.maker = maker
    this.#init = init
  }

  /** A parameter with fan-in and fan-out as its paper counts them; biases and embeddings name their initialiser. */
  weight(name: string, dims: readonly number[], fanIn: number, fanOut: number, initialiser: Initialiser): string {
    const count = dims.reduce((product, size) => product * size, 1)
    const first = this.#count
    this.#count += count
    this.parameters.push(name)
    return this.maker.parameter(name, dims, this.#values(name, count, { fanIn, fanOut, initialiser, first }))
  }

  /** One for every element; a scale that begins at one is no weight that formulas fill. */
  ones(name: string, size: number): string {
    this.#count += size
    this.parameters.push(name)
    return this.maker.parameter(name, [size], new Float32Array(size).fill(1))
  }

  /** x [batch, from] -> [batch, to] */
  dense(name: string, x: string, from: number, to: number, options: DenseOptions = {}): string {
    const { activation = 'none', bias = true } = options
    const initialiser = options.initialiser ?? initialiserFor(activation)
    const weight = this.weight(`${name}.weight`, [from, to], from, to, initialiser)
    const shift = bias ? this.weight(`${name}.bias`, [to], from, to, zeros) : undefined
    const sum = this.maker.op('Gemm', [x, weight, shift])
    return this.activate(activation, sum)
  }

  /** x [batch, from, height, width]; padded so that a stride of 1 keeps the size. */
  conv(name: string, x: string, from: number, to: number, options: ConvOptions = {}): string {
    const { kernel = 3, stride = 1, activation = 'none', bias = true } = options
    const area = kernel * kernel
    const weight = this.weight(
      `${name}.weight`,
      [to, from, kernel, kernel],
      from * area,
      to * area,
      initialiserFor(activation),
    )
    const shift = bias ? this.weight(`${name}.bias`, [to], from * area, to * area, zeros) : undefined
    const pad = (kernel - 1) >> 1
    const sum = this.maker.op('Conv', [x, weight, shift], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    })
    return this.activate(activation, sum)
  }

  /** Dense layers that may be applied more than once, the last one without an activation: x [batch, from]. */
  tower(name: string, from: number, sizes: readonly number[]): (x: string) => string {
    let width = from
    const made = sizes.map((to, index) => {
      const isLast = index === sizes.length - 1
      const initialiser = isLast ? glorotUniform : heNormal
      const weight = this.weight(`${name}${index}.weight`, [width, to], width, to, initialiser)
      const bias = this.weight(`${name}${index}.bias`, [to], width, to, zeros)
      width = to
      return (x: string): string => this.activate(isLast ? 'none' : 'relu', this.maker.op('Gemm', [x, weight, bias]))
    })
    return (x) => made.reduce((value, layer) => layer(value), x)
  }

  /** x [batch, channels, height, width]: mean 0 and deviation 1 over each group of channels, then scale and shift. */
  groupNorm(name: string, x: string, channels: number): string {
    const { maker } = this
    const groups = groupsOf(channels)
    const shape = maker.op('Shape', [x])
    const grouped = maker.op('Reshape', [x, maker.int64s([0, groups, -1])])
    const mean = (value: string): string => maker.op('ReduceMean', [value, maker.int64s([2])], { keepdims: 1 })
    const centred = maker.op('Sub', [grouped, mean(grouped)])
    const variance = mean(maker.op('Mul', [centred, centred]))
    const root = maker.op('Sqrt', [maker.op('Add', [variance, maker.scalar(GROUP_EPSILON)])])
    const normed = maker.op('Reshape', [maker.op('Div', [centred, root]), shape])
    const [scale, shift] = [this.ones(`${name}.weight`, channels), this.weight(`${name}.bias`, [channels], 1, 1, zeros)]
    const spread = (value: string): string => maker.op('Reshape', [value, maker.int64s([1, channels, 1, 1])])
    return maker.op('Add', [maker.op('Mul', [normed, spread(scale)]), spread(shift)])
  }

  activate(name: ActivationName, x: string): string {
    if (name === 'none') return x
    if (name === 'relu') return this.maker.op('Relu', [x])
    if (name === 'tanh') return this.maker.op('Tanh', [x])
    if (name === 'sigmoid') return this.maker.op('Sigmoid', [x])
    if (name === 'silu') return this.maker.op('Mul', [x, this.maker.op('Sigmoid', [x])])
    // x Phi(x), Hendrycks and Gimpel, arXiv 1606.08415.
    const error = this.maker.op('Erf', [this.maker.op('Mul', [x, this.maker.scalar(Math.SQRT1_2)])])
    const half = this.maker.op('Mul', [x, this.maker.scalar(0.5)])
    return this.maker.op('Mul', [half, this.maker.op('Add', [error, this.maker.scalar(1)])])
  }

  #values(
    name: string,
    count: number,
    { fanIn, fanOut, initialiser, first }: { fanIn: number; fanOut: number; initialiser: Initialiser; first: number },
  ): Float32Array {
    if (this.#init === 'zeros' || initialiser === zeros) return new Float32Array(count)
    if (this.#init === 'hash') return Float32Array.from({ length: count }, (_, k) => hashValue(first + k, fanIn))
    return initialiser(count, fanIn, fanOut, createSeeded(this.#init.seed, 'init', name))
  }
}

const GROUP_EPSILON = 1e-5
const MOST_GROUPS = 8

/** As many as divide the channels, 8 at most. */
function groupsOf(channels: number): number {
  let groups = Math.min(MOST_GROUPS, channels)
  while (channels % groups !== 0) groups--
  return groups
}

export interface DenseOptions {
  readonly activation?: ActivationName
  readonly bias?: boolean
  readonly initialiser?: Initialiser
}

export interface ConvOptions {
  /** Odd. */
  readonly kernel?: number
  readonly stride?: number
  readonly activation?: ActivationName
  readonly bias?: boolean
}

function initialiserFor(activation: ActivationName): Initialiser {
  return activation === 'relu' || activation === 'gelu' || activation === 'silu' ? heNormal : glorotUniform
}
