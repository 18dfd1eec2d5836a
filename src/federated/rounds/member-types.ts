/** What a member's loop needs, how long it waits, and what it can say later of a sum. */
import type { LookoutNeeds } from './lookout.ts'
import type { SecureRoundNeeds } from './secure-round.ts'
import type { RoundResult } from './signed-result.ts'
import type { FedState } from './state.ts'
import type { RoundFacts } from './sum-math.ts'
import type { Pipe } from './pipe.ts'
import type { Vote } from './wire.ts'

export interface MemberTimes {
  /** An aggregator that waits says so every two seconds; one that does not is gone. */
  readonly silenceMs: number
  /** Between two looks for somebody who aggregates. */
  readonly retryMs: number
  /** A candidate that failed is passed over for so long. */
  readonly skipMs: number
  /** Between two looks whether somebody who comes earlier in the order is there after all. */
  readonly probeMs: number
  /** In place of what the plan gives for the result of a signed sum. */
  readonly lostMs?: number
}

export const MEMBER_TIMES: MemberTimes = { silenceMs: 10_000, retryMs: 500, skipMs: 8_000, probeMs: 2_000 }

export interface MemberNeeds
  extends Pick<LookoutNeeds, 'clock' | 'progress'>, Omit<SecureRoundNeeds, 'times' | 'stage' | 'charged' | 'leaves'> {
  /** @throws when the peer cannot be reached */
  readonly connect: (peer: string, signal: AbortSignal) => Promise<Pipe>
  /** Whether another peer is there at all, for what is said of who is missing. */
  readonly connected?: ((peer: string) => boolean) | undefined
  /** Throws when this site must not go on: its plan has changed, say. */
  readonly permit: () => void | Promise<void>
  readonly times: MemberTimes
  readonly log: (event: string, facts: Record<string, unknown>) => void
  /** Told of each secure sum, and again when a state was made of it: what this member can say later of what it was told. */
  readonly told?: ((sum: SumReceipt) => Promise<void>) | undefined
  /** Told of what this member signed of a round, and again with the signatures of the others. */
  readonly signed?:
    | ((signed: { readonly result: RoundResult; readonly signatures: readonly Vote[] }) => Promise<void>)
    | undefined
  /** Called whenever this member looks where it stands: what it took up without a sum of its own is noted there. */
  readonly noted?: (() => Promise<void>) | undefined
  readonly applied: (
    before: FedState,
    facts: RoundFacts & {
      readonly members: number
      readonly session: number
      readonly bytes: number
      /** Of asynchronous rounds: age of this site's own update; null: it is not in it. */
      readonly own_age?: number | null
    },
  ) => Promise<void>
}

/** What a member was told in a round. */
export interface SumReceipt {
  readonly session: number
  /** PeerId. */
  readonly aggregator: string
  readonly sid: Uint8Array
  /** SHA-256 of the packed sum. */
  readonly digest: Uint8Array
  /** Hash of the state that this member made of it; null: none, or not yet. */
  readonly state: Uint8Array | null
}
