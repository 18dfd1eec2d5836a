/**
 * Of whom a secure sum is made. Mostly of all; where the plan has clusters or buckets, of the members of each. Who is in which
 * bucket follows from the job and the state that the round begins from, and from nothing that an aggregator could choose: whoever
 * is away leaves its place empty, and a sum that has to be made again is of the very same buckets.
 */
import { bucketsOf } from '../aggregation/bucketed.ts'
import { thresholdOf } from '../plan/cohort.ts'
import { ascii, compareBytes } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import { leastMembers } from '../secagg/roster.ts'

export interface SumGroup<M> {
  /** From 0. */
  readonly index: number
  /** All groups of the round. */
  readonly count: number
  /** As headers and logs call it; empty: all are one sum. */
  readonly name: string
  readonly members: readonly M[]
  /** Shares that restore a secret, and signatures under a set of survivors. */
  readonly t: number
  /** Members whose vectors are in its sum, at least: with fewer it is not opened. */
  readonly least: number
  /** PeerId of the one member of a cluster that masks its sum, and has a part in the sum of clusters. */
  readonly delegate?: string
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
    name: `bucket ${index + 1} of ${buckets.length}`,
    members: places.map((place) => sorted[place]!),
    t: thresholdOf(places.length),
    least: leastOfBucket(places.length),
  }))
}

/**
 * Clusters of a plan, and the delegate of each: of one state it is one member and no other, so that no sum of clusters is
 * made twice over different ones.
 * @param state hash of the one that the round begins from
 */
export function clusterGroups<M extends { readonly peer: string; readonly site: string }>(
  job: string,
  members: readonly M[],
  state: Uint8Array,
  clusters: readonly { readonly name: string; readonly sites: readonly string[] }[],
): readonly SumGroup<M>[] {
  return clusters.map(({ name, sites }, index) => {
    const own = members.filter(({ site }) => sites.includes(site))
    const [delegate] = own
      .map(({ peer }) => ({ peer, key: delegateKey(job, state, peer) }))
      .sort((left, right) => compareBytes(left.key, right.key))
    return {
      index,
      count: clusters.length,
      name: `cluster ${name}`,
      members: own,
      t: thresholdOf(own.length),
      least: leastMembers(thresholdOf(own.length)),
      ...(delegate === undefined ? {} : { delegate: delegate.peer }),
    }
  })
}

function delegateKey(job: string, state: Uint8Array, peer: string): Uint8Array {
  return nodePrimitives.sha256(ascii('weft fed delegate/1'), ascii(job), ascii('\n'), state, ascii(peer))
}
