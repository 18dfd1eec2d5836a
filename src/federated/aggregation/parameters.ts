/** Parameters of a strategy out of a plan: each is checked when the strategy is made, not in its rounds. */
import { ParameterRangeError } from '../errors.ts'
import type { StrategyParameters } from './types.ts'

/** @throws ParameterRangeError when it is missing and there is no default, or out of its range */
export function real(
  parameters: StrategyParameters,
  name: string,
  range: { readonly least?: number; readonly above?: number; readonly most?: number; readonly below?: number },
  otherwise?: number,
): number {
  const value = parameters[name] ?? otherwise
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = range
  const { above = Number.NEGATIVE_INFINITY, below = Number.POSITIVE_INFINITY } = range
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new ParameterRangeError(`the parameter "${name}" is missing or no number`)
  }
  if (value < least || value > most || value <= above || value >= below) {
    throw new ParameterRangeError(`the parameter "${name}" may not be ${value}`)
  }
  return value
}

/** A whole number. @throws ParameterRangeError */
export function whole(parameters: StrategyParameters, name: string, least: number, otherwise?: number): number {
  const value = real(parameters, name, { least }, otherwise)
  if (!Number.isSafeInteger(value)) throw new ParameterRangeError(`the parameter "${name}" may not be ${value}`)
  return value
}

/** @throws ParameterRangeError */
export function oneOf<T extends string>(
  parameters: StrategyParameters,
  name: string,
  words: readonly T[],
  otherwise?: T,
): T {
  const value = parameters[name] ?? otherwise
  const found = words.find((word) => word === value)
  if (found === undefined) throw new ParameterRangeError(`the parameter "${name}" is none of ${words.join(', ')}`)
  return found
}

/** The step that the server takes along the aggregate. */
export function serverRate(parameters: StrategyParameters): number {
  return real(parameters, 'server_lr', {}, 1)
}

export type Weighting = 'records' | 'uniform'

export function weighting(parameters: StrategyParameters, otherwise: Weighting = 'records'): Weighting {
  return oneOf(parameters, 'weights', ['records', 'uniform'], otherwise)
}
