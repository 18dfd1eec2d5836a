/** The sums that an aggregator told of a round, held against what this member signed and what the plan allows. */
import { JobRefusedError } from '../plan/errors.ts'
import { checkPacked, packedBytes, unpack } from '../secagg/packing.ts'
import type { RoundHeader } from '../secagg/layout.ts'
import type { Group, JobView } from './job-view.ts'
import { addSums, decodeSum } from './layout.ts'
import type { Sums } from './layout.ts'
import type { FedState } from './state.ts'
import type { BucketSum } from './sum-math.ts'
import type { Body } from './wire.ts'

export interface ToldSums {
  /** All together. */
  readonly sums: Sums
  /** PeerIds of all whose vectors are in them. */
  readonly members: readonly string[]
  /** Where the round is made of several. */
  readonly buckets?: readonly BucketSum[]
}

export interface SignedGroup {
  readonly group: Group
  /** PeerIds under which this member set its signature. */
  readonly released: readonly string[]
}

/** @throws JobRefusedError: it is not what this member signed, or a sum of fewer than the plan allows is among them */
export function readSums(
  job: JobView,
  state: FedState,
  { group, released }: SignedGroup,
  { bits, d, f, c }: RoundHeader,
  { result, payload }: { readonly result: Body<'result'>; readonly payload: Uint8Array },
): ToldSums {
  const wrong = (why: string): JobRefusedError => new JobRefusedError(job.id, why)
  const size = packedBytes(d, bits)
  const told = group.name === '' ? [{ index: 0, members: released }] : (result.groups ?? [])
  // Of clusters nobody is told more than the sum of all.
  const count = group.delegate === undefined ? told.length : 1
  if (payload.length !== count * size) throw wrong('the sum has another length')
  const layout = job.layout(state)
  const read = (at: number): Sums => {
    const packed = payload.subarray(at * size, (at + 1) * size)
    checkPacked(packed, bits, d)
    return decodeSum(unpack(packed, bits, d), layout, { f, c })
  }
  if (group.name === '') return { sums: read(0), members: released }
  checkGroups(job, state, told)
  const place = told.findIndex(({ index }) => index === group.index)
  if (place < 0 || !isSame(told[place]!.members, released)) throw wrong(`${group.name} is not as this member signed it`)
  const members = told.flatMap((one) => one.members)
  if (group.delegate !== undefined) return { sums: read(0), members }
  const buckets = told.map(({ members }, at) => ({ sums: read(at), survivors: members.length }))
  return { sums: addSums(buckets), members, buckets }
}

/** @throws JobRefusedError */
function checkGroups(
  job: JobView,
  state: FedState,
  told: readonly { readonly index: number; readonly members: readonly string[] }[],
): void {
  const wrong = (why: string): JobRefusedError => new JobRefusedError(job.id, why)
  const groups = job.groups(state)
  for (const [at, { index, members }] of told.entries()) {
    const group = groups[index]
    if (group === undefined || (at > 0 && told[at - 1]!.index >= index))
      throw wrong(`${index} is no bucket or cluster of the round, or twice`)
    const dealt = group.members.map(({ peer }) => peer)
    const isOf = members.every((peer) => dealt.includes(peer)) && new Set(members).size === members.length
    if (!isOf || members.length < group.least) {
      throw wrong(`${group.name} is said to be of others than its members, or of fewer than ${group.least}`)
    }
  }
  const members = told.reduce((sum, one) => sum + one.members.length, 0)
  if (told.length < job.leastGroups(state) || members < job.leastInRound) {
    throw wrong(`${told.length} sums with ${members} members are fewer than the plan asks for`)
  }
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((one) => right.includes(one))
}
