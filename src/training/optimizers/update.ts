/** The nodes that make new parameters and new state out of gradients. */
import type { GraphMaker } from '../graph/graph-maker.ts'
import { sumOf } from '../graph/reductions.ts'
import type { OptimizerSpec } from './types.ts'

/** A parameter with its gradient: names of values in the graph. */
export interface Trained {
  readonly name: string
  readonly dims: readonly number[]
  readonly gradient: string
}

/** A tensor that is carried from step to step, zeros at first. The graph reads `name` and gives `next(name)`. */
export interface StateTensor {
  readonly name: string
  readonly dims: readonly number[]
}

/** What a step needs beside tensors; each is an input, a float32 scalar. */
const LEARNING_RATE = 'learning_rate'
const CORRECTIONS = ['correction_1', 'correction_2'] as const

export const next = (name: string): string => `${name}/next`

/** The output that holds the norm of all gradients before they are clipped. */
export const GRADIENT_NORM = 'gradient_norm'

export interface Update {
  readonly state: readonly StateTensor[]
}

/** Adds inputs, nodes and outputs. The parameters are inputs of the graph already. */
export function addUpdate(maker: GraphMaker, spec: OptimizerSpec, trained: readonly Trained[]): Update {
  maker.input(LEARNING_RATE, 'float32', [])
  if (isAdam(spec)) for (const name of CORRECTIONS) maker.input(name, 'float32', [])
  maker.named('update')
  const scale = clipping(maker, spec.clip_norm, trained)
  const state: StateTensor[] = []
  for (const one of trained) {
    const gradient = scale === undefined ? one.gradient : maker.op('Mul', [one.gradient, scale])
    const carry = (slot: string, then: (before: string) => string): string => {
      const name = `${slot}/${one.name}`
      state.push({ name, dims: one.dims })
      const after = then(maker.input(name, 'float32', one.dims))
      maker.output(next(name), 'float32', one.dims, after)
      return after
    }
    const after = rule(maker, spec, { ...one, gradient, decay: decayOf(spec, one) }, carry)
    maker.output(next(one.name), 'float32', one.dims, after)
  }
  return { state }
}

/** The scalar inputs of step `step`, from 0. */
export function stepInputs(spec: OptimizerSpec, step: number, rate: number): ReadonlyMap<string, number> {
  const inputs = new Map([[LEARNING_RATE, rate]])
  if (!isAdam(spec)) return inputs
  for (const [index, name] of CORRECTIONS.entries()) inputs.set(name, 1 - betasOf(spec)[index]! ** (step + 1))
  return inputs
}

interface Ruled extends Trained {
  readonly decay: number
}
type Carry = (slot: string, then: (before: string) => string) => string

function rule(maker: GraphMaker, spec: OptimizerSpec, one: Ruled, carry: Carry): string {
  const rate = LEARNING_RATE
  const weigh = (value: string, by: number): string => maker.op('Mul', [value, maker.scalar(by)])
  const blend = (before: string, beta: number, value: string): string =>
    maker.op('Add', [weigh(before, beta), weigh(value, 1 - beta)])
  const { decay } = one
  const isApart = spec.kind === 'adamw' || spec.kind === 'lion'
  const gradient = decay === 0 || isApart ? one.gradient : maker.op('Add', [one.gradient, weigh(one.name, decay)])
  const moved = (by: string): string => maker.op('Sub', [shrunk(maker, one, isApart), maker.op('Mul', [by, rate])])
  if (spec.kind === 'sgd') {
    const momentum = spec.momentum ?? 0
    if (momentum === 0) return moved(gradient)
    const velocity = carry('momentum', (before) => maker.op('Add', [weigh(before, momentum), gradient]))
    return moved(spec.nesterov === true ? maker.op('Add', [gradient, weigh(velocity, momentum)]) : velocity)
  }
  if (spec.kind === 'adagrad') {
    const sum = carry('squares', (before) => maker.op('Add', [before, maker.op('Mul', [gradient, gradient])]))
    return moved(maker.op('Div', [gradient, rootOf(maker, sum, spec.epsilon ?? 1e-10)]))
  }
  if (spec.kind === 'lion') {
    const [beta1, beta2] = spec.betas ?? [0.9, 0.99]
    let before = ''
    carry('momentum', (name) => blend((before = name), beta2, gradient))
    return moved(maker.op('Sign', [blend(before, beta1, gradient)]))
  }
  const [beta1, beta2] = betasOf(spec)
  const mean = carry('mean', (before) => blend(before, beta1, gradient))
  const squares = carry('squares', (before) => blend(before, beta2, maker.op('Mul', [gradient, gradient])))
  const [first, second] = [mean, squares].map((name, index) => maker.op('Div', [name, CORRECTIONS[index]!]))
  return moved(maker.op('Div', [first, rootOf(maker, second!, spec.epsilon ?? 1e-8)]))
}

function rootOf(maker: GraphMaker, value: string, epsilon: number): string {
  return maker.op('Add', [maker.op('Sqrt', [value]), maker.scalar(epsilon)])
}

/** The parameter, or (1 - rate decay) of it where decay is no part of the gradient. */
function shrunk(maker: GraphMaker, { name, decay }: Ruled, isApart: boolean): string {
  if (decay === 0 || !isApart) return name
  const lost = maker.op('Mul', [LEARNING_RATE, maker.scalar(decay)])
  return maker.op('Mul', [name, maker.op('Sub', [maker.scalar(1), lost])])
}

/** Of all gradients together; an output too. */
function gradientNorm(maker: GraphMaker, trained: readonly Trained[]): string {
  const squares = trained.map(({ gradient }) => sumOf(maker, maker.op('Mul', [gradient, gradient])))
  const norm = maker.op('Sqrt', [squares.length === 1 ? squares[0] : maker.op('Sum', squares)])
  maker.output(GRADIENT_NORM, 'float32', [], norm)
  return norm
}

/** min(1, most / norm), and the norm as an output. */
function clipping(maker: GraphMaker, most: number | undefined, trained: readonly Trained[]): string | undefined {
  if (most === undefined) return undefined
  const norm = gradientNorm(maker, trained)
  const divisor = maker.op('Max', [norm, maker.scalar(most)])
  return maker.op('Div', [maker.scalar(most), divisor])
}

function decayOf({ weight_decay: decay = 0, no_decay: excepted = [] }: OptimizerSpec, one: Trained): number {
  const isExcepted = one.dims.length < 2 || excepted.some((part) => one.name.includes(part))
  return isExcepted ? 0 : decay
}

type Adam = Extract<OptimizerSpec, { kind: 'adam' | 'adamw' }>

function isAdam(spec: OptimizerSpec): spec is Adam {
  return spec.kind === 'adam' || spec.kind === 'adamw'
}

function betasOf(spec: Adam): readonly [number, number] {
  return spec.betas ?? [0.9, 0.999]
}
