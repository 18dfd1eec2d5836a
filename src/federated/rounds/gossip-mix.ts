/** A member's part in the sum of its gossip group, over a pipe to whoever aggregates it: in goes its model, out comes the mean of all. */
import { JobRefusedError } from '../plan/errors.ts'
import { checkPacked, packedBytes, unpack } from '../secagg/packing.ts'
import { ThresholdError } from '../secagg/errors.ts'
import { gossipContribution, gossipHash, gossipMean } from './gossip-sum.ts'
import type { OwnModel } from './gossip-sum.ts'
import type { Group, JobView } from './job-view.ts'
import type { FedPlan } from '../plan/schema.ts'
import { decodeSum, encodeContribution } from './layout.ts'
import type { MemberNeeds } from './member-types.ts'
import type { Pipe } from './pipe.ts'
import { sumWithOthers } from './secure-member.ts'
import { wordsOf } from './secure-round.ts'
import { toldRecords } from './told-records.ts'
import { validVotes, voteBytes } from './votes.ts'
import { bodyOf, expectOf } from './wire.ts'

export interface GossipMixNeeds extends Pick<
  MemberNeeds,
  'random' | 'self' | 'standing' | 'ledger' | 'times' | 'admits' | 'before'
> {
  readonly job: JobView<FedPlan>
  readonly stage: (name: string) => void
  /** Durable when it resolves; only then this member's signature leaves, and its vector of the round is used up. */
  readonly signed: () => Promise<void>
}

/** What a group made. */
export interface Mixed {
  readonly model: Float32Array
  readonly members: readonly string[]
  readonly loss: number
  readonly records: number
  /** Of the vector of each member. */
  readonly bytes: number
}

/**
 * @param step rounds before this one
 * @returns nothing where too few of the group have the same result: nobody of them goes on from it
 * @throws the refusals of the protocol, RefusedByPeer, why the pipe ended, OutOfBoundError: the model is too far from the first
 */
export async function mixWithGroup(
  needs: GossipMixNeeds,
  pipe: Pipe,
  step: number,
  group: Group,
  own: OwnModel,
): Promise<Mixed | undefined> {
  const { job, random, self, standing, ledger, times } = needs
  const { state, hash } = standing.current
  const layout = job.layout(state)
  const header = job.header(step, state, hash, group)
  const keys = new Map(group.members.map(({ key, peer }) => [Buffer.from(key).toString('hex'), peer]))
  const peersOf = (identities: readonly string[]): string[] => identities.map((one) => keys.get(one) ?? one)
  const checkAdmitted = (identities: readonly string[]): void => {
    const gone = peersOf(identities).find((peer) => !needs.admits(peer))
    if (gone !== undefined) throw new JobRefusedError(job.id, `${gone} is no member any more`)
  }
  let released: readonly string[] = []
  const sum = await sumWithOthers(
    {
      random,
      peersOf,
      mayJoin: checkAdmitted,
      // One set a round: the header of another session of this round is the same.
      signedRounds: ledger,
      before: needs.before,
      stage: needs.stage,
      mayRelease: (identities) => {
        released = peersOf(identities)
        if (released.length >= group.least) return
        throw new ThresholdError(
          `${released.length} members are left, and ${group.least} are the least of ${group.name}`,
        )
      },
      remember: needs.signed,
      charge: () => undefined,
    },
    pipe,
    {
      header,
      members: group.members.map(({ key }) => key),
      identity: {
        publicKey: group.members.find(({ peer }) => peer === self.id)!.key,
        sign: (bytes) => self.sign(bytes),
      },
      records: toldRecords(own.records, job.minimumRecords),
      minimumRecords: job.minimumRecords,
      update: encodeContribution(gossipContribution(job.math, state, own), layout, header, wordsOf(random)),
      noise: 0,
      graph: group.graph,
      quorum: group.quorum,
    },
    times.silenceMs,
  )
  const { bits, d, f, c } = header
  if (sum.payload.length !== packedBytes(d, bits)) throw new JobRefusedError(job.id, 'the sum has another length')
  checkPacked(sum.payload, bits, d)
  const sums = decodeSum(unpack(sum.payload, bits, d), layout, { f, c })
  const model = gossipMean(state, sums)
  const made = gossipHash(step, group.name, model)
  await pipe.send('applied', { state: made, signature: self.sign(voteBytes(job.id, made)) })
  const certificate = bodyOf('certificate', await expectOf(pipe, ['certificate'], times.silenceMs))
  const voters = group.members.map(({ peer }) => peer)
  const votes = validVotes(job.id, made, certificate.votes, voters)
  if (Buffer.compare(certificate.state, made) !== 0 || votes.length < group.quorum) return undefined
  const { loss, records } = job.math.facts(state, sums)
  return { model, members: released, loss: loss ?? 0, records: records ?? 0, bytes: job.vectorBytes(state) }
}
