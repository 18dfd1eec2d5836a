/** Who stands for an exported state, beside it: a member that took the state up has no result of its sum to show for it. */
import { z } from 'zod'
import type { JobView } from '../rounds/job-view.ts'
import { validVotes } from '../rounds/votes.ts'
import type { Vote } from '../rounds/wire.ts'

export const VOTES_FILE = 'votes.json'

const votesSchema = z.strictObject({
  schema: z.literal('weft.fed-votes/1'),
  job: z.string().max(128),
  state: z.string().regex(/^[0-9a-f]{64}$/),
  votes: z
    .array(z.strictObject({ peer: z.string().max(128), signature: z.string().regex(/^[0-9a-f]{128}$/) }))
    .max(4096),
})

export function votesFile({
  job,
  state,
  votes,
}: {
  readonly job: string
  readonly state: Uint8Array
  readonly votes: readonly Vote[]
}): Buffer {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const file: z.input<typeof votesSchema> = {
    schema: 'weft.fed-votes/1',
    job,
    state: hex(state),
    votes: votes.map(({ peer, signature }) => ({ peer, signature: hex(signature) })),
  }
  return Buffer.from(`${JSON.stringify(file, null, 2)}\n`)
}

/** Whether the file has signatures of enough members of the job under this very state; false: or it is no such file. */
export function isVotedFor(job: JobView, state: Uint8Array, file: Uint8Array): boolean {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(file).toString('utf8'))
  } catch {
    return false
  }
  const { data } = votesSchema.safeParse(value)
  if (data === undefined) return false
  const votes = data.votes.map(({ peer, signature }) => ({
    peer,
    signature: new Uint8Array(Buffer.from(signature, 'hex')),
  }))
  return validVotes(job.id, state, votes, job.peers).length >= job.math.t
}
