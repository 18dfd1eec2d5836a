/**
 * Robustness and secure sums at once (Karimireddy, He, Jaggi, arXiv 2006.09365 and 2012.10333): members are put into
 * buckets by the session id, each bucket is summed securely, and only the means of buckets are compared. Bearing f
 * attackers takes group (2f + 1) members; with fewer this protects against none.
 */
import { ParameterRangeError, VectorLengthError } from '../errors.ts'
import { clipToNorm, l2Norm } from '../privacy/clipping.ts'
import type { Primitives } from '../secagg/primitives.ts'
import { shuffledBySession } from '../secagg/shuffle.ts'
import { checkInput, difference, mean, medianOf, moved, perCoordinate, trimmedMean } from './arithmetic.ts'
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

type Rule = (means: readonly Float64Array[], center: Float64Array) => Float64Array

export function bucketed(crypto: Primitives): (parameters: StrategyParameters) => Strategy {
  return (parameters) => {
    const rate = serverRate(parameters)
    const group = whole(parameters, 'group', LEAST_GROUP)
    const clip = real(parameters, 'clip', { above: 0 })
    const sid = sidOf(parameters['sid'])
    const name = oneOf(parameters, 'rule', ['trimmed', 'median', 'centred'])
    const rule = RULES[name](parameters)
    const combine = ({ means, ...input }: MeansInput): Aggregation => {
      checkInput({ ...input, clients: means.map((update) => ({ records: 1, update })) })
      // The mean of updates within the bound is within it: a bucket beyond it has somebody who did not keep to it.
      const within = means.map((one) => clipToNorm(one, clip).values)
      const v = rule(within, input.state['v'] ?? new Float64Array(input.global.length))
      return { global: moved(input.global, rate, v), state: name === 'centred' ? { v } : {} }
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
        const means = buckets.map((bucket) => mean(bucket.map((member) => clipped[member]!)))
        return { ...combine({ ...rest, means }), buckets }
      },
    }
  }
}

const RULES: Readonly<Record<'trimmed' | 'median' | 'centred', (parameters: StrategyParameters) => Rule>> = {
  trimmed(parameters) {
    const trim = whole(parameters, 'trim', 0)
    return (means) => perCoordinate(means, (sorted) => trimmedMean(sorted, trim))
  },
  median: () => (means) => perCoordinate(means, medianOf),
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
