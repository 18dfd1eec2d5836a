/** The nodes that make new parameters and new state out of gradients. */
import type { GraphMaker, LastNode } from '../graph/graph-maker.ts'
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

/**
 * Adds inputs, nodes and outputs. The parameters are inputs of the graph already. Each node over a whole parameter is a
 * pass over memory, so what is a number for all of it is computed once, as a number.
 */
export function addUpdate(maker: GraphMaker, spec: OptimizerSpec, trained: readonly Trained[]): Update {
  maker.input(LEARNING_RATE, 'float32', [])
  if (isAdam(spec)) for (const name of CORRECTIONS) maker.input(name, 'float32', [])
  maker.named('update')
  const scale = clipping(maker, spec.clip_norm, trained)
  const numbers = { ...(isAdam(spec) ? corrected(maker, spec) : PLAIN), shrink: shrinking(maker) }
  const state: StateTensor[] = []
  for (const one of trained) {
    const gradient = scale === undefined ? one.gradient : maker.op('Mul', [one.gradient, scale])
    const carry = (slot: string, then: (before: string) => LastNode): string => {
      const name = `${slot}/${one.name}`
      state.push({ name, dims: one.dims })
      return maker.outputBy(next(name), one.dims, then(maker.input(name, 'float32', one.dims)))
    }
    const last = rule(maker, spec, { ...one, gradient, decay: decayOf(spec, one), ...numbers }, carry)
    maker.outputBy(next(one.name), one.dims, last)
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

/** Names of scalars that all parameters share. */
interface Numbers {
  /** By which a step goes. */
  readonly rate: string
  /** Beside the root of Adam's squares. */
  readonly epsilon: string
  /** 1 - rate decay */
  shrink(decay: number): string
}
interface Ruled extends Trained, Numbers {
  readonly decay: number
}
type Carry = (slot: string, then: (before: string) => LastNode) => string

const PLAIN = { rate: LEARNING_RATE, epsilon: '' }

/**
 * lr (m / c1) / (sqrt(v / c2) + e) = (lr sqrt(c2) / c1) m / (sqrt(v) + e sqrt(c2)): the corrections are of two numbers, and not
 * of two tensors (arXiv 1412.6980, the end of section 2).
 */
function corrected(maker: GraphMaker, { epsilon = 1e-8 }: Adam): Omit<Numbers, 'shrink'> {
  const [first, second] = CORRECTIONS
  const root = maker.op('Sqrt', [second])
  const rate = maker.op('Div', [maker.op('Mul', [LEARNING_RATE, root]), first])
  return { rate, epsilon: maker.op('Mul', [root, maker.scalar(epsilon)]) }
}

function shrinking(maker: GraphMaker): Numbers['shrink'] {
  const made = new Map<number, string>()
  return (decay) => {
    const known = made.get(decay)
    if (known !== undefined) return known
    const lost = maker.op('Mul', [LEARNING_RATE, maker.scalar(decay)])
    const name = maker.op('Sub', [maker.scalar(1), lost])
    made.set(decay, name)
    return name
  }
}

/** @returns the node that makes the parameter */
function rule(maker: GraphMaker, spec: OptimizerSpec, one: Ruled, carry: Carry): LastNode {
  const { decay, rate } = one
  const weigh = (value: string, by: number): string => maker.op('Mul', [value, maker.scalar(by)])
  const blend = (before: string, beta: number, value: string): LastNode => [
    'Add',
    [weigh(before, beta), weigh(value, 1 - beta)],
  ]
  const isApart = spec.kind === 'adamw' || spec.kind === 'lion'
  const gradient = decay === 0 || isApart ? one.gradient : maker.op('Add', [one.gradient, weigh(one.name, decay)])
  const kept = decay === 0 || !isApart ? one.name : maker.op('Mul', [one.name, one.shrink(decay)])
  const moved = (by: string): LastNode => ['Sub', [kept, maker.op('Mul', [by, rate])]]
  if (spec.kind === 'sgd') {
    const momentum = spec.momentum ?? 0
    if (momentum === 0) return moved(gradient)
    const velocity = carry('momentum', (before) => ['Add', [weigh(before, momentum), gradient]])
    return moved(spec.nesterov === true ? maker.op('Add', [gradient, weigh(velocity, momentum)]) : velocity)
  }
  if (spec.kind === 'adagrad') {
    const sum = carry('squares', (before) => ['Add', [before, maker.op('Mul', [gradient, gradient])]])
    return moved(maker.op('Div', [gradient, rootOf(maker, sum, maker.scalar(spec.epsilon ?? 1e-10))]))
  }
  if (spec.kind === 'lion') {
    const [beta1, beta2] = spec.betas ?? [0.9, 0.99]
    let before = ''
    carry('momentum', (name) => blend((before = name), beta2, gradient))
    return moved(maker.op('Sign', [maker.op(...blend(before, beta1, gradient))]))
  }
  const [beta1, beta2] = betasOf(spec)
  const mean = carry('mean', (before) => blend(before, beta1, gradient))
  const squares = carry('squares', (before) => blend(before, beta2, maker.op('Mul', [gradient, gradient])))
  return moved(maker.op('Div', [mean, rootOf(maker, squares, one.epsilon)]))
}

function rootOf(maker: GraphMaker, value: string, epsilon: string): string {
  return maker.op('Add', [maker.op('Sqrt', [value]), epsilon])
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
