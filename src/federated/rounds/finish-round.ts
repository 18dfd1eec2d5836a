/** What a member makes of a sum, whoever opened it: a new state, its vote, and what it can say later of both. */
import { madeOf, stateAfter } from './made-state.ts'
import type { MemberNeeds } from './member-types.ts'
import type { Pipe } from './pipe.ts'
import type { Outcome } from './plain-member.ts'
import type { Prepared } from '../site/site.ts'
import { resultBytes, validSigners } from './signed-result.ts'
import type { RoundResult } from './signed-result.ts'
import { NOTHING_BEGUN, stepsOf } from './state.ts'
import type { Begun, FedState } from './state.ts'
import { validVotes, voteBytes } from './votes.ts'
import { bodyOf, expectOf } from './wire.ts'

export interface Finished {
  readonly session: number
  /** Hash of the state that the round began from. */
  readonly from: Uint8Array
  readonly prepared: Prepared
  readonly outcome: Outcome
  /** Told when it stands: what was trained for it is of no use any more. */
  readonly stands: () => void
}

/** @throws RoundAbortedError: the sum makes no state; why the pipe ended: the state stands all the same */
export async function finishRound(needs: MemberNeeds, pipe: Pipe, finished: Finished): Promise<void> {
  const { job, standing, log, times, applied, self, site } = needs
  const { session, from, prepared, outcome } = finished
  const { state } = standing.current
  const { survivors, sums, told } = outcome
  const keep = async (made: Uint8Array | null): Promise<void> => {
    if (told !== undefined) await needs.told?.({ session, aggregator: pipe.remote, ...told, state: made })
  }
  await keep(null)
  const made = (begun: Begun): FedState => madeOf(session, () => stateAfter(job, state, outcome, begun))
  const first = made(NOTHING_BEGUN)
  const next = state.pooled === null ? made(await site.begin(first)) : first
  // Somebody has brought this member to another state meanwhile.
  if (Buffer.compare(standing.current.hash, from) !== 0) return
  const isIn = outcome.members === undefined || outcome.members.includes(self.id)
  await standing.apply(next, isIn ? prepared.memory : standing.memory, session + 1)
  finished.stands()
  const own = standing.current.hash
  await keep(own)
  const result = resultOf(needs, next, own, session, outcome)
  const signature = self.sign(resultBytes(result))
  await needs.signed?.({ result, signatures: [{ peer: self.id, signature }] })
  try {
    await pipe.send('applied', { state: own, signature: self.sign(voteBytes(job.id, own)), result: signature })
  } finally {
    // Whoever aggregates may be gone by now: what came of the round stands all the same.
    await applied(state, {
      ...job.math.facts(state, sums),
      bytes: outcome.bytes ?? job.vectorBytes(state),
      ...(prepared.age === undefined ? {} : { own_age: isIn ? prepared.age : null }),
      members: survivors,
      session,
    })
  }
  const certificate = bodyOf('certificate', await expectOf(pipe, ['certificate'], times.silenceMs))
  const { state: theirs, votes, results = [] } = certificate
  await needs.signed?.({ result, signatures: validSigners(result, results, job.peers) })
  const valid = validVotes(job.id, theirs, votes, job.peers)
  if (Buffer.compare(theirs, own) === 0 && valid.length >= job.math.t) await standing.certify(own, valid)
  else log('certificate.odd', { session, votes: valid.length })
}

function resultOf(
  { job: { id, planHash } }: Pick<MemberNeeds, 'job'>,
  state: FedState,
  hash: Uint8Array,
  session: number,
  { members = [], transcript }: Pick<Outcome, 'members' | 'transcript'>,
): RoundResult {
  const [plan, model, told] = [planHash, hash, transcript].map((bytes) => Buffer.from(bytes).toString('hex'))
  return {
    schema: 'weft.fed-signed-result/1',
    job: id,
    plan: plan!,
    step: stepsOf(state),
    session,
    model: model!,
    transcript: told!,
    members: [...members].sort(),
  }
}
