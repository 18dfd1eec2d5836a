/** What a coordinator needs, whom it has, and whom it waits for. */
import type { Clock } from '../../util/index.ts'
import type { Filter, Joined } from './collector.ts'
import type { JobView } from './job-view.ts'
import type { Contribution } from './layout.ts'
import type { MemberState } from './member-state.ts'
import type { Pipe } from './pipe.ts'
import type { FedState } from './state.ts'
import type { KeptRound, KeptSums } from './transcript.ts'
import type { Body } from './wire.ts'

export interface CoordinatorTimes {
  /** A member may be silent for so long in a stage. */
  readonly stageMs: number
  /** Who is not even connected is not waited for beyond this. */
  readonly graceMs: number
  /** Signs of life to who waits. */
  readonly beatMs: number
}

export const COORDINATOR_TIMES: CoordinatorTimes = { stageMs: 20_000, graceMs: 5_000, beatMs: 2_000 }

export interface CoordinatorNeeds {
  readonly clock: Clock
  /** Who aggregates here: as a member it stands for a state like all others. */
  readonly self: { readonly id: string; sign(bytes: Uint8Array): Uint8Array }
  readonly job: JobView
  readonly standing: MemberState
  /** Of the roster now: a member that was thrown out is no member. */
  readonly admits: (peer: string) => boolean
  /** Whether the peer is connected at all. */
  readonly isPresent: (peer: string) => boolean
  /** Whether it has said that it takes no part any more: it is not waited for where the others are enough. */
  readonly hasLeft?: ((peer: string) => boolean) | undefined
  readonly times: CoordinatorTimes
  readonly log: (event: string, facts: Record<string, unknown>) => void
  readonly filter?: Filter | undefined
  /** Keeps the messages of a round that was summed here; durable when it resolves. @param before what it began from */
  readonly keep?: ((session: number, before: FedState, kept: KeptRound) => Promise<void>) | undefined
  /** The same of a round of several sums. */
  readonly keepSums?: ((session: number, before: FedState, kept: KeptSums) => Promise<void>) | undefined
}

export interface Guest {
  readonly peer: string
  readonly pipe: Pipe
  hello: Body<'hello'>
  /** Has been told to begin, and has not answered; has answered. */
  stage: 'waits' | 'begun' | 'ready'
  /** Votes that there were for its state when it was asked for it. */
  asked?: number
  joined?: Joined
  contribution?: Contribution
}

export interface Waiting {
  readonly since: number
  readonly peers: readonly string[]
  readonly why: string
}
