/** RNN, GRU and LSTM, written out step by step (ONNX operator sets 7 to 22). */
import type { Rewrite, RewriteSite } from '../rewrite.ts'

/** A function of one gate, and its parameters from the lists that all functions share. */
type Activation = (value: string) => string

interface Cell {
  /** Gates in W, R and B. */
  readonly gates: number
  readonly activations: readonly string[]
  /** So many of them are of gates, whose inputs `clip` bounds: what an LSTM makes of its cell is not, in the engine too. */
  readonly ofGates: number
  /** One step: `state` [batch, hidden] each, the first of which is the output. */
  readonly step: (step: Step) => readonly string[]
}

interface Step {
  readonly site: RewriteSite
  /** X W' + biases of W, gate by gate: [batch, hidden] each. */
  readonly fed: readonly string[]
  /** Weights of the recurrence gate by gate: [hidden, hidden], transposed. */
  readonly recurrence: readonly string[]
  /** Biases of the recurrence gate by gate: [hidden]. */
  readonly recurrentBias: readonly string[]
  readonly state: readonly string[]
  readonly activations: readonly Activation[]
  /** LSTM: weights of the peepholes for input, output and forget gate: [hidden]. */
  readonly peepholes: readonly string[] | undefined
}

/** h U + b */
function recurred({ site, recurrence, recurrentBias }: Step, gate: number, hidden: string): string {
  return site.add(site.op('MatMul', [hidden, recurrence[gate]!]), recurrentBias[gate]!)
}

const RNN: Cell = {
  gates: 1,
  activations: ['Tanh'],
  ofGates: 1,
  step: (step) => {
    const [hidden] = step.state
    return [step.activations[0]!(step.site.add(step.fed[0]!, recurred(step, 0, hidden!)))]
  },
}

/** Gates z, r, h. */
const GRU: Cell = {
  gates: 3,
  activations: ['Sigmoid', 'Tanh'],
  ofGates: 2,
  step: (step) => {
    const { site, fed, activations } = step
    const hidden = step.state[0]!
    const gate = (index: number): string => activations[0]!(site.add(fed[index]!, recurred(step, index, hidden)))
    const [update, reset] = [gate(0), gate(1)]
    const inner =
      site.int('linear_before_reset', 0) === 0
        ? recurred(step, 2, site.mul(reset, hidden))
        : site.mul(reset, recurred(step, 2, hidden))
    const candidate = activations[1]!(site.add(fed[2]!, inner))
    const kept = site.mul(update, hidden)
    return [site.add(site.mul(site.sub(site.number(1), update), candidate), kept)]
  },
}

/** Gates i, o, f, c; states hidden and cell. */
const LSTM: Cell = {
  gates: 4,
  activations: ['Sigmoid', 'Tanh', 'Tanh'],
  ofGates: 2,
  step: (step) => {
    const { site, fed, activations, peepholes } = step
    const [hidden, cell] = step.state as readonly [string, string]
    const sum = (gate: number): string => site.add(fed[gate]!, recurred(step, gate, hidden))
    const peek = (gate: number, index: number, from: string): string =>
      peepholes === undefined ? sum(gate) : site.add(sum(gate), site.mul(peepholes[index]!, from))
    const input = activations[0]!(peek(0, 0, cell))
    const forget =
      site.int('input_forget', 0) === 1 ? site.sub(site.number(1), input) : activations[0]!(peek(2, 2, cell))
    const next = site.add(site.mul(forget, cell), site.mul(input, activations[1]!(sum(3))))
    const output = activations[0]!(peek(1, 1, next))
    return [site.mul(output, activations[2]!(next)), next]
  },
}

/** X [length, batch, input], or [batch, length, input] with layout 1. */
function written(cell: Cell): Rewrite {
  return (site) => {
    const isBatchFirst = site.int('layout', 0) === 1
    const x = isBatchFirst ? site.op('Transpose', [site.input(0)], { perm: [1, 0, 2] }) : site.input(0)
    const length = site.shape(site.input(0))?.[isBatchFirst ? 1 : 0]
    if (typeof length !== 'number') throw site.refusal('the length of its sequence is not known before it runs')
    if (length === 0) throw site.refusal('its sequence has no steps')
    const hidden = site.int('hidden_size', 0) || (site.sizes(site.input(2))?.[2] ?? site.refuse('no hidden_size'))
    const direction = site.text('direction', 'forward')
    const count = direction === 'bidirectional' ? 2 : 1
    const runs = Array.from({ length: count }, (_, index) =>
      run(site, cell, { x, length, hidden, index, isReversed: direction === 'reverse' || index === 1, isBatchFirst }),
    )
    const stack = (parts: readonly string[], axis: number): string =>
      site.concat(
        parts.map((part) => site.unsqueeze(part, [axis])),
        axis,
      )
    if (site.output(0) !== '') {
      const steps = Array.from({ length }, (_, at) =>
        stack(
          runs.map(({ outputs }) => outputs[at]!),
          isBatchFirst ? 1 : 0,
        ),
      )
      site.returns(0, stack(steps, isBatchFirst ? 1 : 0))
    }
    for (let state = 0; state < runs[0]!.last.length; state++) {
      if (site.output(1 + state) === '') continue
      site.returns(
        1 + state,
        stack(
          runs.map(({ last }) => last[state]!),
          isBatchFirst ? 1 : 0,
        ),
      )
    }
  }
}

interface Direction {
  readonly x: string
  readonly length: number
  readonly hidden: number
  readonly index: number
  readonly isReversed: boolean
  readonly isBatchFirst: boolean
}

interface Run {
  /** By place in the sequence: [batch, hidden]. */
  readonly outputs: readonly string[]
  readonly last: readonly string[]
}

function run(site: RewriteSite, cell: Cell, at: Direction): Run {
  const { x, length, hidden, index, isReversed } = at
  const own = (value: string): string => site.op('Gather', [value, site.builder.int64(index)], { axis: 0 })
  const gates = cell.gates
  const part = (value: string, gate: number): string => site.slice(value, 0, gate * hidden, (gate + 1) * hidden)
  const [w, r] = [own(site.input(1)), own(site.input(2))]
  const zeros = site.builder.constant(
    site.floatType(site.input(0)),
    [2 * gates * hidden],
    Array(2 * gates * hidden).fill(0),
  )
  const bias = site.given(3) ? own(site.input(3)) : zeros
  const recurrence = each(gates, (gate) => site.transpose(part(r, gate), [1, 0]))
  const recurrentBias = each(gates, (gate) => part(bias, gates + gate))
  // All steps at once: [length, batch, gates * hidden].
  const all = site.add(site.op('MatMul', [x, site.transpose(w, [1, 0])]), site.slice(bias, 0, 0, gates * hidden))
  const peephole = site.given(7) ? own(site.input(7)) : undefined
  const peepholes = peephole === undefined ? undefined : each(3, (gate) => part(peephole, gate))
  const functions = activations(site, cell, index)
  let state = initialStates(site, cell, at)
  const outputs: string[] = []
  const isAlive = aliveness(site)
  for (let turn = 0; turn < length; turn++) {
    const place = isReversed ? length - 1 - turn : turn
    const row = site.op('Gather', [all, site.builder.int64(place)], { axis: 0 })
    const fed = each(gates, (gate) => site.slice(row, 1, gate * hidden, (gate + 1) * hidden))
    const next = cell.step({ site, fed, recurrence, recurrentBias, state, activations: functions, peepholes })
    const alive = isAlive?.(place)
    outputs[place] = alive === undefined ? next[0]! : site.op('Where', [alive, next[0], site.number(0)])
    const before = state
    state = alive === undefined ? next : next.map((value, at) => site.op('Where', [alive, value, before[at]]))
  }
  return { outputs, last: state }
}

function each<T>(count: number, make: (index: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

/** Whether a place is within the length of each sequence: bool [batch, 1]; undefined where all are whole. */
function aliveness(site: RewriteSite): ((place: number) => string) | undefined {
  if (!site.given(4)) return undefined
  const lengths = site.unsqueeze(site.input(4), [1])
  return (place) => site.op('Greater', [lengths, site.builder.scalar('int32', place)])
}

/** Given, or zeros [batch, hidden]. */
function initialStates(
  site: RewriteSite,
  cell: Cell,
  { x, hidden, index, isBatchFirst }: Direction,
): readonly string[] {
  return each(cell === LSTM ? 2 : 1, (state) => {
    const name = site.input(5 + state)
    if (name !== '') return site.op('Gather', [name, site.builder.int64(index)], { axis: isBatchFirst ? 1 : 0 })
    const batch = site.op('Shape', [x], { start: 1, end: 2 })
    const shape = site.op('Concat', [batch, site.int64s([hidden])], { axis: 0 })
    return site.filled(site.floatType(site.input(0)), 0, shape)
  })
}

/** Of ONNX's list; those with parameters take the next of the lists that they share. */
function activations(site: RewriteSite, cell: Cell, direction: number): readonly Activation[] {
  const perDirection = cell.activations.length
  const named = site.texts('activations') ?? [...cell.activations, ...cell.activations]
  const [alphas, betas] = [[...(site.floats('activation_alpha') ?? [])], [...(site.floats('activation_beta') ?? [])]]
  const all = named.map((name) => activation(site, name, alphas, betas))
  const clip = site.float('clip', 0)
  const own = all.slice(direction * perDirection, (direction + 1) * perDirection)
  if (own.length !== perDirection) site.refuse('its list of activations is too short')
  if (clip === 0) return own
  const clipped = (value: string): string => site.op('Clip', [value, site.number(-clip), site.number(clip)])
  return own.map((apply, index) => (index < cell.ofGates ? (value) => apply(clipped(value)) : apply))
}

const DEFAULTS: Readonly<Record<string, readonly [alpha: number | undefined, beta: number | undefined]>> = {
  affine: [1, 0],
  relu: [undefined, undefined],
  tanh: [undefined, undefined],
  sigmoid: [undefined, undefined],
  softsign: [undefined, undefined],
  softplus: [undefined, undefined],
  leakyrelu: [0.01, undefined],
  thresholdedrelu: [1, undefined],
  elu: [1, undefined],
  scaledtanh: [1, 1],
  hardsigmoid: [0.2, 0.5],
}
const OPERATORS: Readonly<Record<string, string>> = {
  relu: 'Relu',
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  softsign: 'Softsign',
  softplus: 'Softplus',
  leakyrelu: 'LeakyRelu',
  thresholdedrelu: 'ThresholdedRelu',
  elu: 'Elu',
  hardsigmoid: 'HardSigmoid',
}

function activation(site: RewriteSite, given: string, alphas: number[], betas: number[]): Activation {
  const name = given.toLowerCase()
  const defaults = DEFAULTS[name] ?? site.refuse(`it has the activation ${JSON.stringify(given)}`)
  const alpha = defaults[0] === undefined ? undefined : (alphas.shift() ?? defaults[0])
  const beta = defaults[1] === undefined ? undefined : (betas.shift() ?? defaults[1])
  if (name === 'affine') return (value) => site.add(site.mul(value, site.number(alpha!)), site.number(beta!))
  if (name === 'scaledtanh') {
    return (value) => site.mul(site.op('Tanh', [site.mul(value, site.number(beta!))]), site.number(alpha!))
  }
  const attributes = {
    ...(alpha === undefined ? {} : { alpha: { kind: 'float', value: alpha } as const }),
    ...(beta === undefined ? {} : { beta: { kind: 'float', value: beta } as const }),
  }
  return (value) => site.op(OPERATORS[name]!, [value], attributes)
}

export const RECURRENT_REWRITES: Readonly<Record<string, Rewrite>> = {
  RNN: written(RNN),
  GRU: written(GRU),
  LSTM: written(LSTM),
}
