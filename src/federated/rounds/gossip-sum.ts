/** What a group of a gossip round sums: how far each member's model is from the one that all began with, by its weight. */
import { VectorLengthError } from '../errors.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { ascii } from '../secagg/bytes.ts'
import type { Contribution, Sums } from './layout.ts'
import { WIDE } from './math.ts'
import type { RoundMath } from './math.ts'
import type { FedState } from './state.ts'
import { fixedOf, realOf } from './wide.ts'

/** A site's model after its own training. */
export interface OwnModel {
  readonly weights: Float32Array
  /** Of the model that training began with, on this site's records. */
  readonly loss: number
  readonly records: number
}

/** @param state that all began with: the same at every member */
export function gossipContribution(
  math: RoundMath,
  state: FedState,
  { weights, loss, records }: OwnModel,
): Contribution {
  const { global } = state
  if (weights.length !== global.length)
    throw new VectorLengthError(`a model has ${weights.length} parameters, and not ${global.length}`)
  const weight = math.isWeighted ? (records * math.members) / state.pooled!.records : 1
  const reals = new Float64Array(global.length)
  for (let at = 0; at < reals.length; at++) reals[at] = (weights[at]! - global[at]!) * weight
  return { reals, wide: [fixedOf(weight), fixedOf(weight * loss), fixedOf(records)] }
}

/** The mean of the members' models. @throws VectorLengthError: the sum makes none */
export function gossipMean({ global }: FedState, { reals, wide }: Sums): Float32Array {
  const weight = realOf(wide[WIDE.weight]!)
  if (!(weight > 0)) throw new VectorLengthError('the weights of a sum are not above 0')
  const mean = Float32Array.from(global, (value, at) => value + reals[at]! / weight)
  if (mean.some((value) => !Number.isFinite(value)))
    throw new VectorLengthError('a sum makes a model that is not finite')
  return mean
}

/** What members of a group vote for. */
export function gossipHash(step: number, group: string, model: Float32Array): Uint8Array {
  const bytes = new Uint8Array(model.buffer, model.byteOffset, model.byteLength)
  return new Uint8Array(nodePrimitives.sha256(ascii('weft fed gossip model/1'), ascii(`${step} ${group}\n`), bytes))
}

/** Root of the mean square of the differences of two models. */
export function distance(left: Float32Array, right: Float32Array): number {
  const sum = left.reduce((all, value, at) => all + (value - right[at]!) ** 2, 0)
  return Math.sqrt(sum / Math.max(1, left.length))
}
