/** If, Loop, Scan and SequenceMap: operators whose outputs are what their subgraphs make. */
import { subgraphs } from '../ir/index.ts'
import type { Dimension, Graph, ValueType } from '../ir/index.ts'
import type { Algebra } from './algebra.ts'
import { axisWithin, tensor } from './call.ts'
import type { Call } from './call.ts'
import { mergeTypes } from './rules/types.ts'
import type { InnerScope, KnownTensor } from './types.ts'

/** What is known of one value as it goes into a body or comes out of it. */
export interface Fact {
  readonly type?: ValueType | undefined
  readonly known?: KnownTensor | undefined
  readonly assumed?: boolean
}

export interface Walked {
  readonly outputs: readonly Fact[]
  readonly inner: readonly InnerScope[]
}

/** Walks a subgraph with these inputs, in the scope of the node that has it; undefined where it is too deep. */
export type WalkBody = (graph: Graph, inputs: readonly Fact[], times: Dimension) => BodyFacts

export interface BodyFacts {
  readonly outputs: readonly Fact[]
  readonly scope: InnerScope
}

export type ControlRule = (call: Call, body: WalkBody) => Walked

const TRUE: KnownTensor = { dims: [], elements: [1] }
const NOTHING: Walked = { outputs: [], inner: [] }

function graphOf(call: Call, name: string): Graph | undefined {
  const attribute = call.attribute(name)
  return attribute?.kind === 'graph' ? attribute.value : undefined
}

const branch: ControlRule = (call, body) => {
  const [yes, no] = [graphOf(call, 'then_branch'), graphOf(call, 'else_branch')]
  if (yes === undefined || no === undefined) return NOTHING
  const condition = call.scalar(0)
  const times = (taken: boolean): Dimension => (typeof condition !== 'number' ? 1 : (condition !== 0) === taken ? 1 : 0)
  const [then, otherwise] = [body(yes, [], times(true)), body(no, [], times(false))]
  const inner = subgraphs(call.node).map((graph) => (graph === yes ? then.scope : otherwise.scope))
  if (typeof condition === 'number') return { outputs: (condition !== 0 ? then : otherwise).outputs, inner }
  return { outputs: then.outputs.map((fact, output) => either(fact, otherwise.outputs[output])), inner }
}

function either(left: Fact, right: Fact | undefined): Fact {
  if (left.type === undefined || right?.type === undefined) return {}
  const type = mergeTypes(left.type, right.type) ?? undefined
  return { type, assumed: left.assumed === true || right.assumed === true }
}

/** Values that one turn hands to the next: with what holds in every turn, from the first one on. */
interface Settled {
  readonly facts: BodyFacts
  readonly carried: readonly Fact[]
}

const MOST_TURNS = 4

/** Until no size of a carried value changes from turn to turn; sizes that do are not known, and in the end nor is rank. */
function untilSettled(
  { algebra }: Call,
  first: readonly Fact[],
  turn: (carried: readonly Fact[]) => BodyFacts,
  skip: number,
): Settled {
  let carried: readonly Fact[] = first.map(({ type, assumed }) => ({ type, assumed: assumed === true }))
  for (let turns = 0; ; turns++) {
    const facts = turn(carried)
    const widened = carried.map((fact, at) => wider(fact, facts.outputs[at + skip], algebra, turns >= MOST_TURNS - 2))
    const same = widened.every((fact, at) => fact === carried[at])
    if (same) return { facts, carried }
    if (turns === MOST_TURNS) {
      const nothing = carried.map((): Fact => ({}))
      return { facts: turn(nothing), carried: nothing }
    }
    carried = widened
  }
}

function wider(fact: Fact, after: Fact | undefined, algebra: Algebra, dropShape: boolean): Fact {
  const { type } = fact
  if (type === undefined) return fact
  const merged = after?.type === undefined ? null : mergeTypes(type, after.type)
  if (merged === null) return { assumed: fact.assumed === true }
  if (holds(type, merged)) return fact
  if (merged.kind !== 'tensor') return { ...fact, type: merged }
  return {
    ...fact,
    type: {
      ...merged,
      shape: dropShape ? null : merged.shape && merged.shape.map((size) => size ?? algebra.unknown()),
    },
  }
}

/** Nothing was lost in the merge but sizes that are unknown anyway, which any size may follow. */
function holds(before: ValueType, merged: ValueType): boolean {
  if (before.kind === 'tensor' && merged.kind === 'tensor') {
    if (before.shape === null) return true
    return merged.shape !== null && before.shape.every((size, axis) => merged.shape![axis] === size || isWidened(size))
  }
  return JSON.stringify(before) === JSON.stringify(merged)
}

function isWidened(size: Dimension): boolean {
  return typeof size === 'string' && /^\?\d+$/.test(size)
}

/** Sizes that were made inside a body mean nothing outside: each turn had its own. */
function outside(fact: Fact, algebra: Algebra, mark: number): Fact {
  const { type } = fact
  if (type === undefined || type.kind !== 'tensor') return type === undefined ? fact : { ...fact, type: plain(type) }
  const shape = type.shape && type.shape.map((size) => (algebra.isYoungerThan(size, mark) ? null : size))
  return { type: { ...type, shape }, assumed: fact.assumed === true }
}

/** Of lists and the like no sizes pass out of a body. */
function plain(type: ValueType): ValueType {
  if (type.kind === 'tensor' || type.kind === 'sparse')
    return { ...type, shape: type.shape && type.shape.map(() => null) }
  if (type.kind === 'map') return type
  return { ...type, element: type.element && plain(type.element) }
}

/** Inputs: most turns, condition, carried values. Body: turn and condition first; then carried ones, then what piles up. */
const loop: ControlRule = (call, body) => {
  const graph = graphOf(call, 'body')
  if (graph === undefined) return NOTHING
  const { algebra } = call
  const mark = algebra.mark()
  const start = call.node.inputs.slice(2).map((_, at): Fact => factOf(call, at + 2))
  const always = !call.given(1) || call.scalar(1) === 1
  const most = call.given(0) ? (call.scalar(0) ?? null) : null
  const turn = (carried: readonly Fact[]): BodyFacts =>
    body(
      graph,
      [{ type: tensor('int64', []) }, { type: tensor('bool', []), known: always ? TRUE : undefined }, ...carried],
      always ? nonNegative(most) : null,
    )
  const { facts, carried } = untilSettled(call, start, turn, 1)
  // The condition starts true, and a body that is given true returns true: only the count ends the loop.
  const onlyCounts = always && facts.outputs[0]?.known?.elements[0] === 1
  const count = onlyCounts ? nonNegative(most) : null
  const piled = facts.outputs.slice(1 + start.length).map(({ type, assumed }): Fact => {
    const inner = outside({ type, assumed: assumed === true }, algebra, mark)
    if (inner.type?.kind !== 'tensor') return {}
    return { ...inner, type: { ...inner.type, shape: inner.type.shape && [count, ...inner.type.shape] } }
  })
  return { outputs: [...carried.map((fact) => outside(fact, algebra, mark)), ...piled], inner: [facts.scope] }
}

function nonNegative(size: Dimension): Dimension {
  return typeof size === 'number' && size < 0 ? 0 : size
}

function factOf(call: Call, input: number): Fact {
  return { type: call.value(input) }
}

/** Inputs: states, then what is scanned along an axis. */
const scan: ControlRule = (call, body) => {
  if (call.version > 0 && call.version < 9) return batchedScan(call, body)
  const graph = graphOf(call, 'body')
  const scanned = call.int('num_scan_inputs', 0)
  const states = call.node.inputs.length - scanned
  if (graph === undefined || !(scanned >= 1) || !(states >= 0)) return NOTHING
  const { algebra } = call
  const mark = algebra.mark()
  const [into, out] = [call.ints('scan_input_axes'), call.ints('scan_output_axes')]
  let length: Dimension = null
  const slices = Array.from({ length: scanned }, (_, at): Fact => {
    const input = call.value(states + at)
    if (input?.kind !== 'tensor' || input.shape === null) return { type: input }
    const axis = axisWithin(into?.[at] ?? 0, input.shape.length)
    if (axis === undefined) return {}
    length ??= input.shape[axis]!
    return { type: { ...input, shape: input.shape.filter((_, other) => other !== axis) } }
  })
  const start = Array.from({ length: states }, (_, at) => factOf(call, at))
  const { facts, carried } = untilSettled(call, start, (now) => body(graph, [...now, ...slices], length), 0)
  const piled = facts.outputs.slice(states).map((fact, at): Fact => {
    const { type, assumed } = outside(fact, algebra, mark)
    if (type?.kind !== 'tensor' || type.shape === null) return { type }
    const axis = axisWithin(out?.[at] ?? 0, type.shape.length + 1)
    if (axis === undefined) return {}
    const shape = [...type.shape.slice(0, axis), length, ...type.shape.slice(axis)]
    return { type: { ...type, shape }, assumed: assumed === true }
  })
  return { outputs: [...carried.map((fact) => outside(fact, algebra, mark)), ...piled], inner: [facts.scope] }
}

/** Opset 8: lengths first, which may be left out; the body sees no batch, and what is scanned runs along the axis behind it. */
const batchedScan: ControlRule = (call, body) => {
  const graph = graphOf(call, 'body')
  const states = call.node.inputs.length - 1 - call.int('num_scan_inputs', 0)
  if (graph === undefined || !(states >= 0)) return NOTHING
  const { algebra } = call
  const mark = algebra.mark()
  let [batch, length]: [Dimension, Dimension] = [null, null]
  const facts = call.node.inputs.slice(1).map((_, at): Fact => {
    const input = call.value(at + 1)
    if (input?.kind !== 'tensor' || input.shape === null) return { type: input }
    batch ??= input.shape[0] ?? null
    if (at >= states) length ??= input.shape[1] ?? null
    return { type: { ...input, shape: input.shape.slice(at < states ? 1 : 2) } }
  })
  const [start, slices] = [facts.slice(0, states), facts.slice(states)]
  const settled = untilSettled(call, start, (now) => body(graph, [...now, ...slices], length), 0)
  const around = (fact: Fact, before: readonly Dimension[]): Fact => {
    const { type, assumed } = outside(fact, algebra, mark)
    if (type?.kind !== 'tensor' || type.shape === null) return { type }
    return { type: { ...type, shape: [...before, ...type.shape] }, assumed: assumed === true }
  }
  const piled = settled.facts.outputs.slice(states).map((fact) => around(fact, [batch, length]))
  return { outputs: [...settled.carried.map((fact) => around(fact, [batch])), ...piled], inner: [settled.facts.scope] }
}

/** The body for each element of the lists; tensors beside them go into every turn. */
const sequenceMap: ControlRule = (call, body) => {
  const graph = graphOf(call, 'body')
  if (graph === undefined) return NOTHING
  const inputs = call.node.inputs.map((_, input): Fact => {
    const value = call.value(input)
    return { type: value?.kind === 'sequence' ? (value.element ?? undefined) : value }
  })
  const facts = body(graph, inputs, null)
  const outputs = facts.outputs.map(({ type }): Fact => {
    return { type: { kind: 'sequence', element: type === undefined ? null : plain(type) } }
  })
  return { outputs, inner: [facts.scope] }
}

export const CONTROL: ReadonlyMap<string, ControlRule> = new Map([
  ['If', branch],
  ['Loop', loop],
  ['Scan', scan],
  ['SequenceMap', sequenceMap],
])
