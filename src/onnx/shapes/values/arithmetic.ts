/** Sums, products and comparisons of known elements. */
import type { Dimension } from '../../ir/index.ts'
import type { Algebra } from '../algebra.ts'
import type { Call } from '../call.ts'
import { smallCount } from '../constants.ts'
import { dataTypeOf } from '../rules/types.ts'
import type { KnownTensor } from '../types.ts'
import type { ValueRule } from './index.ts'

type Operation = (algebra: Algebra, left: Dimension, right: Dimension, call: Call) => Dimension

/** Numbers by JavaScript's arithmetic: exact for the integers of shapes, float64 for what is rounded later. */
function numeric(operation: (left: number, right: number) => number): (left: Dimension, right: Dimension) => Dimension {
  return (left, right) => {
    if (typeof left !== 'number' || typeof right !== 'number') return null
    const value = operation(left, right)
    return Number.isFinite(value) ? value : null
  }
}

/** Fractions are no sizes, but scale factors are calculated with too. */
function either(
  numbers: (left: number, right: number) => number,
  symbols: (algebra: Algebra, left: Dimension, right: Dimension) => Dimension,
): Operation {
  const plain = numeric(numbers)
  return (algebra, left, right) => {
    if (typeof left === 'number' && typeof right === 'number') return plain(left, right)
    return whole(left) && whole(right) ? symbols(algebra, left, right) : null
  }
}

function whole(value: Dimension): boolean {
  return typeof value === 'string' || (value !== null && Number.isSafeInteger(value))
}

/** Integers are divided towards 0, which for sizes is down. */
const divide: Operation = (algebra, left, right, call) => {
  const floating = isFloating(call)
  if (typeof left === 'number' && typeof right === 'number') {
    if (right === 0) return null
    return floating ? left / right : Math.trunc(left / right)
  }
  if (!whole(left) || !whole(right)) return null
  if (floating) return algebra.divideExactly(left, right)
  return algebra.isNeverNegative(left) ? algebra.floorDivide(left, right) : algebra.divideExactly(left, right)
}

function isFloating(call: Call): boolean {
  return (call.type(0) ?? call.type(1) ?? 'float32').includes('float')
}

/** The sign of the divisor, or with `fmod` that of what is divided. */
const modulo: Operation = (algebra, left, right, call) => {
  if (typeof left === 'number' && typeof right === 'number') {
    if (right === 0) return null
    const rest = left % right
    return call.int('fmod', 0) === 0 && rest !== 0 && rest < 0 !== right < 0 ? rest + right : rest
  }
  if (typeof right !== 'number' || right < 1 || !algebra.isNeverNegative(left)) return null
  return algebra.subtract(left, algebra.multiply(algebra.floorDivide(left, right), right))
}

const power: Operation = (algebra, left, right) => {
  if (typeof left === 'number' && typeof right === 'number') return numeric((a, b) => a ** b)(left, right)
  if (typeof right !== 'number' || !Number.isInteger(right) || right < 0 || right > 4) return null
  return algebra.product(Array.from({ length: right }, () => left))
}

const equal: Operation = (algebra, left, right) => {
  if (left === null || right === null) return null
  if (left === right) return 1
  if (typeof left === 'number' && typeof right === 'number') return 0
  return certainlyLess(algebra, left, right) || certainlyLess(algebra, right, left) ? 0 : null
}

function certainlyLess(algebra: Algebra, left: Dimension, right: Dimension): boolean {
  if (typeof left === 'number' && typeof right === 'number') return left < right
  return whole(left) && whole(right) && algebra.isAtMost(algebra.add(left, 1), right)
}

function compared(reverse: boolean, orEqual: boolean): Operation {
  return (algebra, first, second) => {
    const [left, right] = reverse ? [second, first] : [first, second]
    if (left === null || right === null) return null
    const atMost = (a: Dimension, b: Dimension): boolean =>
      (typeof a === typeof b && a === b) ||
      certainlyLess(algebra, a, b) ||
      (whole(a) && whole(b) && algebra.isAtMost(a, b))
    if (orEqual ? atMost(left, right) : certainlyLess(algebra, left, right)) return 1
    return (orEqual ? certainlyLess(algebra, right, left) : atMost(right, left)) ? 0 : null
  }
}

const BINARY: Readonly<Record<string, Operation>> = {
  Add: either(
    (a, b) => a + b,
    (algebra, a, b) => algebra.add(a, b),
  ),
  Sub: either(
    (a, b) => a - b,
    (algebra, a, b) => algebra.subtract(a, b),
  ),
  Mul: either(
    (a, b) => a * b,
    (algebra, a, b) => algebra.multiply(a, b),
  ),
  Max: either(Math.max, (algebra, a, b) => algebra.max(a, b)),
  Min: either(Math.min, (algebra, a, b) => algebra.min(a, b)),
  Div: divide,
  Mod: modulo,
  Pow: power,
  Equal: equal,
  Less: compared(false, false),
  Greater: compared(true, false),
  LessOrEqual: compared(false, true),
  GreaterOrEqual: compared(true, true),
  And: (_, a, b) => (a === 0 || b === 0 ? 0 : a === 1 && b === 1 ? 1 : null),
  Or: (_, a, b) => (a === 1 || b === 1 ? 1 : a === 0 && b === 0 ? 0 : null),
  Xor: (_, a, b) => numeric((left, right) => left ^ right)(a, b),
}

/** Stretched over the output's shape; more than two inputs (Max, Min, Sum) from the left. */
function binary(operation: Operation): ValueRule {
  return (call, dims) => {
    const inputs = call.node.inputs.map((_, input) => call.known(input))
    if (inputs.length < 1 || inputs.some((input) => input === undefined)) return []
    const stretched = inputs.map((input) => stretch(input!, dims))
    if (stretched.some((elements) => elements === undefined)) return []
    const [first, ...others] = stretched as (readonly Dimension[])[]
    const elements = first!.map((element, at) =>
      others.reduce<Dimension>((left, right) => operation(call.algebra, left, right[at]!, call), element),
    )
    return [{ dims, elements }]
  }
}

/** The elements as they stand in a larger shape that the tensor is broadcast to. */
export function stretch(known: KnownTensor, dims: readonly number[]): readonly Dimension[] | undefined {
  const count = smallCount(dims)
  const offset = dims.length - known.dims.length
  if (count === undefined || offset < 0) return undefined
  if (known.dims.some((size, axis) => size !== 1 && size !== dims[axis + offset])) return undefined
  return Array.from({ length: count }, (_, flat) => {
    let [at, stride, rest] = [0, 1, flat]
    for (let axis = dims.length - 1; axis >= offset; axis--) {
      const size = known.dims[axis - offset]!
      if (size !== 1) at += (rest % dims[axis]!) * stride
      stride *= size
      rest = Math.floor(rest / dims[axis]!)
    }
    return known.elements[at]!
  })
}

const where: ValueRule = (call, dims) => {
  const [condition, yes, no] = [call.known(0), call.known(1), call.known(2)]
  if (condition === undefined || (yes === undefined && no === undefined)) return []
  const chosen = stretch(condition, dims)
  const [left, right] = [yes && stretch(yes, dims), no && stretch(no, dims)]
  const elements = chosen?.map((picked, at) => {
    const [a, b] = [left?.[at] ?? null, right?.[at] ?? null]
    if (picked === null) return a === b ? a : null
    return picked === 0 ? b : a
  })
  return [elements && { dims, elements }]
}

function unary(operation: (value: number, call: Call) => number | null, whenWhole = false): ValueRule {
  return (call) => {
    const known = call.known(0)
    if (known === undefined) return []
    const elements = known.elements.map((element) => {
      if (typeof element === 'number') return operation(element, call)
      return whenWhole ? element : null
    })
    return [{ dims: known.dims, elements }]
  }
}

const negate: ValueRule = (call) => {
  const known = call.known(0)
  return [known && { dims: known.dims, elements: known.elements.map((element) => call.algebra.multiply(element, -1)) }]
}

const absolute: ValueRule = (call) => {
  const known = call.known(0)
  const size = (element: Dimension): Dimension => {
    if (typeof element === 'number') return Math.abs(element)
    return call.algebra.isNeverNegative(element) ? element : null
  }
  return [known && { dims: known.dims, elements: known.elements.map(size) }]
}

/** Expressions are whole numbers, so that rounding and casts between numbers leave them as they are. */
const cast: ValueRule = (call) => {
  const known = call.known(0)
  const to = call.node.opType === 'CastLike' ? call.type(1) : dataTypeOf(call.int('to'))
  if (known === undefined || to === undefined || to === 'string') return []
  const toBool = (element: Dimension): Dimension => {
    if (typeof element === 'number') return element === 0 ? 0 : 1
    return call.algebra.isAtMost(1, element) ? 1 : null
  }
  const elements = known.elements.map((element) => {
    if (to === 'bool') return toBool(element)
    return typeof element === 'number' && !to.includes('float') ? Math.trunc(element) : element
  })
  return [{ dims: known.dims, elements }]
}

const clip: ValueRule = (call) => {
  const known = call.known(0)
  if (known === undefined || call.attribute('min') !== undefined || call.attribute('max') !== undefined) return []
  const [least, most] = [call.given(1) ? call.scalar(1) : undefined, call.given(2) ? call.scalar(2) : undefined]
  if ((call.given(1) && least === undefined) || (call.given(2) && most === undefined)) return []
  const { algebra } = call
  const bounded = (element: Dimension): Dimension => {
    const low = least === undefined ? element : algebra.max(element, least)
    return most === undefined ? low : algebra.min(low, most)
  }
  return [{ dims: known.dims, elements: known.elements.map(bounded) }]
}

function reduced(operation: (call: Call, elements: readonly Dimension[]) => Dimension): ValueRule {
  return (call, dims) => {
    const known = call.known(0)
    const axes = known && call.axes(known.dims.length)
    if (known === undefined || axes === undefined || smallCount(dims) !== 1) return []
    // Over all elements only, which is how sizes are multiplied.
    const all = axes === 'none' || known.dims.every((size, axis) => size === 1 || axes.includes(axis))
    if (!all || (axes === 'none' && call.int('noop_with_empty_axes', 0) === 1)) return []
    if (known.elements.length === 0 && axes !== 'none' && axes.length === 0) return []
    return [{ dims, elements: [operation(call, known.elements)] }]
  }
}

const least = (call: Call, elements: readonly Dimension[], most: boolean): Dimension => {
  if (elements.length === 0) return null
  return elements.slice(1).reduce((a, b) => (most ? call.algebra.max(a, b) : call.algebra.min(a, b)), elements[0]!)
}

const cumulative: ValueRule = (call) => {
  const known = call.known(0)
  if (known?.dims.length !== 1 || call.int('exclusive', 0) !== 0 || call.int('reverse', 0) !== 0) return []
  let sum: Dimension = 0
  return [{ dims: known.dims, elements: known.elements.map((element) => (sum = call.algebra.add(sum, element))) }]
}

export const ARITHMETIC = [
  ...Object.entries(BINARY).map(([operators, operation]) => ({ operators, rule: binary(operation) })),
  { operators: 'Sum', rule: binary(BINARY['Add']!) },
  { operators: 'Where', rule: where },
  { operators: 'Floor', rule: unary(Math.floor, true) },
  { operators: 'Ceil', rule: unary(Math.ceil, true) },
  { operators: 'Round', rule: unary((value) => (Math.abs(value % 1) === 0.5 ? null : Math.round(value)), true) },
  { operators: 'Sqrt', rule: unary((value) => (value >= 0 ? Math.sqrt(value) : null)) },
  { operators: 'Not', rule: unary((value) => (value === 0 ? 1 : 0)) },
  { operators: 'Neg', rule: negate },
  { operators: 'Abs', rule: absolute },
  { operators: 'Cast CastLike', rule: cast },
  { operators: 'Clip', rule: clip },
  { operators: 'ReduceProd', rule: reduced((call, elements) => call.algebra.product(elements)) },
  { operators: 'ReduceSum', rule: reduced((call, elements) => call.algebra.sum(elements)) },
  { operators: 'ReduceMax', rule: reduced((call, elements) => least(call, elements, true)) },
  { operators: 'ReduceMin', rule: reduced((call, elements) => least(call, elements, false)) },
  { operators: 'CumSum', rule: cumulative },
]
