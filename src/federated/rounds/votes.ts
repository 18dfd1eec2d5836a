/** Members stand for a state by signing it; a state that t members stand for is the one that all go on from. */
import { verify } from '../../trust/index.ts'
import { ascii, concat } from '../secagg/bytes.ts'
import type { Vote } from './wire.ts'

export function voteBytes(job: string, state: Uint8Array): Uint8Array {
  return concat(ascii('weft fed vote/1'), ascii(job), ascii('\n'), state)
}

export function voteOf(
  job: string,
  self: { readonly id: string; sign(bytes: Uint8Array): Uint8Array },
  state: Uint8Array,
): Vote {
  return { peer: self.id, signature: self.sign(voteBytes(job, state)) }
}

/** Those votes that are of different members and signed by them. */
export function validVotes(job: string, state: Uint8Array, votes: readonly Vote[], members: readonly string[]): Vote[] {
  const message = voteBytes(job, state)
  const seen = new Set<string>()
  return votes.filter(({ peer, signature }) => {
    if (seen.has(peer) || !members.includes(peer) || !verify(peer, message, signature)) return false
    seen.add(peer)
    return true
  })
}
