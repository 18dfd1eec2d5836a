/**
 * Robustness and secure sums at once (Karimireddy, He, Jaggi, arXiv 2006.09365 and 2012.10333): members are put into
 * buckets by the session id, each bucket is summed securely, and only the means of buckets are compared. Bearing f
 * attackers takes group (2f + 1) members; with fewer this protects against none. Buckets are of others each round, so that
 * `momentum` (as FedAvgM's, arXiv 1909.06335) averages over the deals what attackers reach in a single one.
 */
import { ParameterRangeError, VectorLengthError } from '../errors.ts'
import { clipToNorm, l2Norm } from '../privacy/clipping.ts'
import type { Primitives } from '../secagg/primitives.ts'
import { shuffledBySession } from '../secagg/shuffle.ts'
import {
  checkInput,
  difference,
  mean,
  medianOf,
  moved,
  nearMedian,
  perCoordinate,
  trimmedMean,
  weightedSum,
} from './arithmetic.ts'
import { oneOf, real, serverRate, whole } from './parameters.ts'
import type { Aggregation, MeansInput, Strategy, StrategyParameters } from './types.ts'

/** The sum of two is no secret to either. */
const LEAST_GROUP = 3
const SID_BYTES = 32

/** Attackers that buckets of `group` bear among `members`: half of the buckets must be honest. */
export function bearableAttackers(members: number, group: number): number {
  return Math.max(0, Math.floor((Math.floor(members / group) - 1) / 2))
}

/** Buckets that it takes to bear so many attackers, each of whom may be in one of its own. */
export function bucketsToBear(attackers: number): number {
  return 2 * attackers + 1
}

/** Members that it takes. */
export function membersToBear(attackers: number, group: number): number {
  return group * bucketsToBear(attackers)
}

/** Places by bucket, rising in each. @throws ParameterRangeError when there are fewer members than one bucket has */
export function bucketsOf(crypto: Primitives, sid: Uint8Array, members: number, group: number): number[][] {
  const count = Math.floor(members / group)
  if (count < 1) throw new ParameterRangeError(`${members} members do not fill a bucket of ${group}`)
  const buckets = Array.from({ length: count }, (): number[] => [])
  for (const [place, member] of shuffledBySession(crypto, sid, 'fl-secagg/1 buckets', members).entries()) {
    buckets[place % count]!.push(member)
  }
  return buckets.map((bucket) => bucket.sort((left, right) => left - right))
}

/** Records beyond which a member counts no more; undefined: all count the same. */
function mostRecords(parameters: StrategyParameters): number | undefined {
  return parameters['most_records'] === undefined ? undefined : real(parameters, 'most_records', { least: 1 })
}

/**
 * What a member's update counts in its bucket, at most 1: of few records an update wanders, and what wanders hides what
 * attackers send. It is the member's own word, which costs nothing more: whoever lies in a bucket has all of it anyway.
 */
export function bucketWeight(parameters: StrategyParameters, records: number): number {
  const most = mostRecords(parameters)
  return most === undefined ? 1 : Math.min(records, most) / most
}

/**
 * The mean of a bucket out of its sum.
 * @param weight of its members together, as they say: what no honest ones can have makes a mean of nothing, and ends no round
 */
export function bucketMean(sum: Float64Array, weight: number, members: number): Float64Array {
  const isPossible = weight > 0 && weight <= members * (1 + 1e-9)
  return isPossible ? sum.map((value) => value / weight) : new Float64Array(sum.length)
}

const NAMES = ['trimmed', 'median', 'nearest', 'centred'] as const

type Rule = (means: readonly Float64Array[], center: Float64Array) => Float64Array

export function bucketed(crypto: Primitives): (parameters: StrategyParameters) => Strategy {
  return (parameters) => {
    const rate = serverRate(parameters)
    const group = whole(parameters, 'group', LEAST_GROUP)
    const clip = real(parameters, 'clip', { above: 0 })
    const sid = sidOf(parameters['sid'])
    const name = oneOf(parameters, 'rule', NAMES)
    const rule = RULES[name](parameters)
    const momentum = real(parameters, 'momentum', { least: 0, below: 1 }, 0)
    mostRecords(parameters)
    const combine = ({ means, ...input }: MeansInput): Aggregation => {
      checkInput({ ...input, clients: means.map((update) => ({ records: 1, update })) })
      // The mean of updates within the bound is within it: a bucket beyond it has somebody who did not keep to it.
      const within = means.map((one) => clipToNorm(one, clip).values)
      const of = (name: string): Float64Array => input.state[name] ?? new Float64Array(input.global.length)
      const v = rule(within, of('v'))
      const m = momentum === 0 ? v : moved(v, momentum, of('m'))
      const state = { ...(name === 'centred' ? { v } : {}), ...(momentum === 0 ? {} : { m }) }
      return { global: moved(input.global, rate, m), state }
    }
    return {
      name: 'bucketed',
      sees: 'buckets',
      combine,
      aggregate(input) {
        checkInput(input)
        const { clients, ...rest } = input
        const buckets = bucketsOf(crypto, sid, clients.length, group)
        const clipped = clients.map(({ update }) => clipToNorm(update, clip).values)
        const weights = clients.map(({ records }) => bucketWeight(parameters, records))
        const means = buckets.map((bucket) => {
          const own = bucket.map((member) => weights[member]!)
          const updates = bucket.map((member) => clipped[member]!)
          const total = own.reduce((sum, weight) => sum + weight, 0)
          return bucketMean(weightedSum(updates, own), total, bucket.length)
        })
        return { ...combine({ ...rest, means }), buckets }
      },
    }
  }
}

const RULES: Readonly<Record<(typeof NAMES)[number], (parameters: StrategyParameters) => Rule>> = {
  trimmed(parameters) {
    const trim = whole(parameters, 'trim', 0)
    return (means) => perCoordinate(means, (sorted) => trimmedMean(sorted, trim))
  },
  median: () => (means) => perCoordinate(means, medianOf),
  /**
   * "Mean around median" (Xie, Koyejo, Gupta, arXiv 1802.10116): the `trim` values furthest from the median are left out. A median
   * is pulled by half of a deviation or more to where attackers are; what stands out pulls this not at all.
   */
  nearest(parameters) {
    const trim = whole(parameters, 'trim', 0)
    return (means) => {
      if (2 * trim >= means.length)
        throw new ParameterRangeError(`of ${means.length} means ${trim} cannot be left out: they are no minority`)
      return perCoordinate(means, (sorted) => nearMedian(sorted, means.length - trim))
    }
  },
  /** Centred clipping: from the last centre, towards each mean by no more than tau. */
  centred(parameters) {
    const iterations = whole(parameters, 'iterations', 0, 1)
    const tau = real(parameters, 'tau', { above: 0 })
    return (means, center) => {
      let v = center
      for (let round = 0; round < iterations; round++) {
        const steps = means.map((one) => {
          const step = difference(one, v)
          const norm = l2Norm(step)
          const factor = norm === 0 ? 1 : Math.min(1, tau / norm)
          return step.map((value) => value * factor)
        })
        v = moved(v, 1, mean(steps))
      }
      return v
    }
  },
}

/** Bytes, or hex. */
function sidOf(value: unknown): Uint8Array {
  const bytes = typeof value === 'string' ? new Uint8Array(Buffer.from(value, 'hex')) : value
  if (!(bytes instanceof Uint8Array) || bytes.length !== SID_BYTES) {
    throw new VectorLengthError(`the session id of the buckets has not ${SID_BYTES} bytes`)
  }
  return bytes
}
