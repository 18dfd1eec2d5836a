/** What small tensors hold, where it can be said before the graph runs: shapes that are calculated with on the way. */
import type { ValueType } from '../../ir/index.ts'
import type { Call } from '../call.ts'
import { smallCount } from '../constants.ts'
import { registryOf } from '../registry.ts'
import type { KnownTensor } from '../types.ts'
import { ARITHMETIC } from './arithmetic.ts'
import { LAYOUT } from './layout.ts'
import { SOURCES } from './sources.ts'

/** The elements of the outputs in order. `dims`: the shape of the first output, which the rule of shapes has said. */
export type ValueRule = (call: Call, dims: readonly number[]) => readonly (KnownTensor | undefined)[]

const VALUE_RULES = registryOf<ValueRule>([...ARITHMETIC, ...LAYOUT, ...SOURCES])

/** `types`: of the outputs. Undefined where nothing is known of an output's elements. */
export function knownOutputs(
  call: Call,
  types: readonly (ValueType | undefined)[],
): readonly (KnownTensor | undefined)[] {
  const rule = VALUE_RULES.get(call.node.domain)?.get(call.node.opType)
  if (rule === undefined) return []
  return rule(call, smallShape(types[0]) ?? []).map((known, output) => checked(known, types[output]))
}

/** Elements that fit no shape, or of which none is known, are not kept. */
function checked(known: KnownTensor | undefined, type: ValueType | undefined): KnownTensor | undefined {
  const dims = smallShape(type)
  if (known === undefined || dims === undefined || type?.kind !== 'tensor') return undefined
  const same = dims.length === known.dims.length && dims.every((size, axis) => size === known.dims[axis])
  if (!same || smallCount(dims) !== known.elements.length) return undefined
  const elements = known.elements.map((element) =>
    typeof element === 'number' ? inRange(element, type.type) : element,
  )
  return elements.length > 0 && elements.every((element) => element === null) ? undefined : { dims, elements }
}

function smallShape(type: ValueType | undefined): readonly number[] | undefined {
  const shape = type?.kind === 'tensor' ? type.shape : null
  if (shape === null || !shape.every((size) => typeof size === 'number')) return undefined
  return smallCount(shape) === undefined ? undefined : shape
}

const RANGES: ReadonlyMap<string, readonly [least: number, most: number]> = new Map([
  ['int64', [-(2 ** 63), 2 ** 63]],
  ['uint64', [0, 2 ** 64]],
  ['int32', [-(2 ** 31), 2 ** 31 - 1]],
  ['uint32', [0, 2 ** 32 - 1]],
  ['int16', [-(2 ** 15), 2 ** 15 - 1]],
  ['uint16', [0, 2 ** 16 - 1]],
  ['int8', [-128, 127]],
  ['uint8', [0, 255]],
  ['bool', [0, 1]],
])

/** A number that the type cannot hold would wrap around in the engine. */
function inRange(element: number, type: string): number | null {
  if (type === 'float32') return Math.fround(element)
  if (type === 'float64') return element
  const range = RANGES.get(type)
  return range !== undefined && element >= range[0] && element <= range[1] ? element : null
}
