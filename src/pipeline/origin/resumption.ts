/** What the hops of an attempt are told when all have said how many rows they have. */
import type { Resume } from '../ring/protocol.ts'

export interface ResumptionInit {
  /** Rows that each hop has. */
  readonly had: readonly number[]
  /** The first row whose token is wanted. */
  readonly tokensFrom: number
  /**
   * The last hop is new and tells how far a prompt has come: of a prefix it takes all that is computed before it, though it
   * may have more.
   */
  readonly tells: boolean
  /** Rows from this one on may be of guesses that came to nothing. */
  readonly keep: number
}

export interface Resumption {
  /** Rows that each hop has then. */
  readonly taken: readonly number[]
  readonly hops: readonly Resume[]
}

export function resumptionOf({ had, tokensFrom, tells, keep }: ResumptionInit): Resumption {
  const kept = had.map((rows) => Math.min(rows, keep))
  const before = kept.at(-2)
  const isCapped = (hop: number): boolean => tells && before !== undefined && hop === kept.length - 1
  const taken = kept.map((rows, hop) => (isCapped(hop) ? Math.min(rows, before!) : rows))
  const hops = taken.map((rows, hop) => {
    const from = taken[hop + 1] ?? 0
    const most = keep === Infinity ? {} : { keep }
    return { from, tokensFrom, ...(rows < had[hop]! ? { keep: rows } : most) }
  })
  return { taken, hops }
}
