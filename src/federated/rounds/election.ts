/** Who aggregates: the members in an order that follows from the job and how far it is, so that nobody chooses. */
import { ascii, compareBytes, u32 } from '../secagg/bytes.ts'
import { nodePrimitives } from '../secagg/primitives.ts'

/** The first that can be reached aggregates; the next takes over where it is gone. @param done certified sums so far */
export function candidates(job: string, done: number, members: readonly string[]): string[] {
  const keyed = members.map((peer) => ({
    peer,
    key: nodePrimitives.sha256(ascii('weft fed aggregator/1'), ascii(job), u32(done), ascii(peer)),
  }))
  return keyed.sort((left, right) => compareBytes(left.key, right.key)).map(({ peer }) => peer)
}
