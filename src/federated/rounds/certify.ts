/** The end of a round: with enough votes the new state stands, whoever is gone afterwards. */
import { RoundAbortedError } from '../plan/errors.ts'
import type { Pipe } from './pipe.ts'
import { validVotes } from './votes.ts'
import { bodyOf, expectOf } from './wire.ts'
import type { Body, Vote } from './wire.ts'

/** Collects the votes of those who made a state of the sum, and tells them. @throws RoundAbortedError with too few */
export async function certify(
  job: { readonly id: string; readonly peers: readonly string[]; readonly math: { readonly t: number } },
  session: number,
  guests: readonly { readonly peer: string; readonly pipe: Pipe }[],
  wait: number,
): Promise<void> {
  const votes = new Map<string, Vote[]>()
  const results = new Map<string, Vote[]>()
  await Promise.all(
    guests.map(async ({ peer, pipe }) => {
      const vote = await voteOf(pipe, wait).catch(() => undefined)
      if (vote === undefined) return
      const { state, signature, result } = vote
      const key = Buffer.from(state).toString('hex')
      // Each member looks itself at whether it is signed: all have the same result.
      if (result !== undefined) results.set(key, [...(results.get(key) ?? []), { peer, signature: result }])
      votes.set(key, [...(votes.get(key) ?? []), ...validVotes(job.id, state, [{ peer, signature }], job.peers)])
    }),
  )
  const [key, list] = [...votes].toSorted(([, left], [, right]) => right.length - left.length)[0] ?? ['', []]
  if (list.length < job.math.t) throw new RoundAbortedError(session, 'votes', `${list.length} members have its result`)
  const body = { state: new Uint8Array(Buffer.from(key, 'hex')), votes: list, results: results.get(key) ?? [] }
  await Promise.all(guests.map(({ pipe }) => pipe.send('certificate', body).catch(() => undefined)))
}

async function voteOf(pipe: Pipe, wait: number): Promise<Body<'applied'>> {
  return bodyOf('applied', await expectOf(pipe, ['applied'], wait))
}
