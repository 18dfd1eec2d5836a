/**
 * Of whom a secure sum is made. Mostly of all; where the plan has buckets, of the members of each bucket. Who is in which
 * follows from the job and the state that the round begins from, and from nothing that an aggregator could choose: whoever
 * is away leaves its place empty, and a sum that has to be made again is of the very same buckets.
 */
import { bucketsOf } from '../aggregation/bucketed.ts'
import { thresholdOf } from '../plan/cohort.ts'
import { ascii } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { leastMembers } from '../secagg/roster.ts'

export interface SumGroup<M> {
  /** From 0. */
  readonly index: number
  /** All groups of the round. */
  readonly count: number
  readonly members: readonly M[]
  /** Shares that restore a secret, and signatures under a set of survivors. */
  readonly t: number
  /** Members whose vectors are in its sum, at least: with fewer it is not opened. */
  readonly least: number
}

/** Members of a bucket that stay, at least. */
export function leastOfBucket(members: number): number {
  return leastMembers(thresholdOf(members))
}

/** The session id of the buckets: of the rounds of one state there is one. */
export function bucketSession(job: string, state: Uint8Array): Uint8Array {
  return new Uint8Array(nodePrimitives.sha256(ascii('weft fed buckets/1'), ascii(job), ascii('\n'), state))
}

/**
 * @param members in an order of their own
 * @param state hash of the one that the round begins from
 * @param group members that a bucket has at least
 * @throws ParameterRangeError: they do not fill one
 */
export function bucketGroups<M extends { readonly peer: string }>(
  job: string,
  members: readonly M[],
  state: Uint8Array,
  group: number,
): readonly SumGroup<M>[] {
  const sorted = members.toSorted((left, right) => (left.peer < right.peer ? -1 : 1))
  const buckets = bucketsOf(nodePrimitives, bucketSession(job, state), sorted.length, group)
  return buckets.map((places, index) => ({
    index,
    count: buckets.length,
    members: places.map((place) => sorted[place]!),
    t: thresholdOf(places.length),
    least: leastOfBucket(places.length),
  }))
}
