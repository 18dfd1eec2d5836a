/**
 * Of whom a secure sum is made. Mostly of all; where the plan has clusters or buckets, of the members of each. Who is in which
 * bucket follows from the job and how many sums it has made, as its aggregators do, and from nothing that an aggregator could
 * choose: a hash of the state could be tried for until the deal suits whoever makes the state. Whoever is away leaves its place
 * empty, and a sum that has to be made again is of the very same buckets.
 */
import { bucketsOf } from '../aggregation/bucketed.ts'
import { leastOfGroup } from '../plan/cohort.ts'
import { sharingOf } from '../plan/sharing.ts'
import type { Sharing } from '../plan/sharing.ts'
import { ascii, compareBytes, u32 } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'

export interface SumGroup<M> extends Sharing {
  /** From 0. */
  readonly index: number
  /** As headers and logs call it; empty: all are one sum. */
  readonly name: string
  readonly members: readonly M[]
  /** Members whose vectors are in its sum, at least: with fewer it is not opened. */
  readonly least: number
  /** PeerId of the one member of a cluster that masks its sum, and has a part in the sum of clusters. */
  readonly delegate?: string
}

/** The session id of the buckets. @param done sums that were made */
function bucketSession(job: string, done: number): Uint8Array {
  return new Uint8Array(nodePrimitives.sha256(ascii('weft fed buckets/1'), ascii(job), ascii('\n'), u32(done)))
}

/**
 * @param members in any order
 * @param done sums that the job has made
 * @param group members that a bucket has at least
 * @throws ParameterRangeError: they do not fill one
 */
export function bucketGroups<M extends { readonly peer: string }>(
  job: string,
  members: readonly M[],
  done: number,
  group: number,
): readonly SumGroup<M>[] {
  const sorted = members.toSorted((left, right) => (left.peer < right.peer ? -1 : 1))
  const buckets = bucketsOf(nodePrimitives, bucketSession(job, done), sorted.length, group)
  return buckets.map((places, index) => ({
    index,
    name: `bucket ${index + 1} of ${buckets.length}`,
    members: places.map((place) => sorted[place]!),
    ...sharingOf(places.length),
    least: leastOfGroup(places.length),
  }))
}

/**
 * Groups of a gossip round: others in each, dealt by a hash of job and round, so that nobody chooses with whom it mixes.
 * @param step rounds before this one
 * @param group members that one has at least
 * @throws ParameterRangeError: they do not fill one
 */
export function gossipGroups<M extends { readonly peer: string }>(
  job: string,
  members: readonly M[],
  step: number,
  group: number,
): readonly SumGroup<M>[] {
  const sorted = members.toSorted((left, right) => (left.peer < right.peer ? -1 : 1))
  const session = new Uint8Array(nodePrimitives.sha256(ascii('weft fed gossip/1'), ascii(job), ascii('\n'), u32(step)))
  const groups = bucketsOf(nodePrimitives, session, sorted.length, group)
  return groups.map((places, index) => ({
    index,
    name: `gossip ${step + 1}, group ${index + 1} of ${groups.length}`,
    members: places.map((place) => sorted[place]!),
    ...sharingOf(places.length),
    least: leastOfGroup(places.length),
  }))
}

/**
 * Clusters of a plan, and the delegate of each: of one step it is one member and no other, so that no sum of clusters is
 * made twice over different ones.
 * @param done sums that the job has made
 */
export function clusterGroups<M extends { readonly peer: string; readonly site: string }>(
  job: string,
  members: readonly M[],
  done: number,
  clusters: readonly { readonly name: string; readonly sites: readonly string[] }[],
): readonly SumGroup<M>[] {
  return clusters.map(({ name, sites }, index) => {
    const own = members.filter(({ site }) => sites.includes(site))
    const [delegate] = own
      .map(({ peer }) => ({ peer, key: delegateKey(job, done, peer) }))
      .sort((left, right) => compareBytes(left.key, right.key))
    return {
      index,
      name: `cluster ${name}`,
      members: own,
      ...sharingOf(own.length),
      least: leastOfGroup(own.length),
      ...(delegate === undefined ? {} : { delegate: delegate.peer }),
    }
  })
}

function delegateKey(job: string, done: number, peer: string): Uint8Array {
  return nodePrimitives.sha256(ascii('weft fed delegate/1'), ascii(job), ascii('\n'), u32(done), ascii(peer))
}
