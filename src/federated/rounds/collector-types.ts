/** What collects a secure sum needs, of whom it collects, and what comes of it. */
import type { Clock } from '../../util/index.ts'
import type { Advertisement } from '../secagg/layout.ts'
import type { MaskedTrailer } from '../secagg/messages.ts'
import type { Pipe } from './pipe.ts'
import type { KeptRound } from './transcript.ts'

export interface Joined {
  readonly peer: string
  readonly pipe: Pipe
  readonly entry: Advertisement
  /** Of the sum of sums, where it is the one of its cluster that has a part in it. */
  readonly upper?: Advertisement | undefined
}

export interface Dropped {
  readonly peer: string
  readonly stage: string
  readonly why: string
  readonly code?: string | undefined
  /** Whose keys or shares it could not use, as it says. */
  readonly about?: string | undefined
}

export interface CollectorNeeds {
  readonly clock: Clock
  /** Milliseconds that a member may be silent in a stage. */
  readonly stageMs: number
  readonly stage: (name: string) => void
  /** A test interface: what would be sent to each goes through it. */
  readonly filter?: Filter | undefined
  /** Given the messages of the round before its sum is told; without it none are held. */
  readonly keep?: ((kept: KeptRound) => Promise<void>) | undefined
  /** PeerIds that may be given the sum, masks and all, to go on if this aggregator is gone: the first that is still there is. */
  readonly successors?: readonly string[] | undefined
  /** Where it is a part of a sum of clusters: what is known of that one. */
  readonly upper?: (() => SharedSum | undefined) | undefined
  /** When a set is signed, before anybody is asked for a share: others may have to come so far too. */
  readonly together?: (() => Promise<void> | undefined) | undefined
  /** Told of each that is out, when it is. */
  readonly dropped: (facts: Dropped) => void
}

export interface Outgoing {
  readonly to: string
  readonly position: number
  readonly kind: string
  readonly body: object
  readonly payload?: Uint8Array
}
/** What is sent instead. */
export type Filter = (round: number, messages: readonly Outgoing[]) => Promise<readonly Outgoing[]>

export interface Collected {
  /** PeerIds of those whose vectors are in it. */
  readonly members: readonly string[]
  /** The sum, packed. */
  readonly sum: Uint8Array
  /** What its delegate vouches for in the sum of sums. */
  readonly upper?: MaskedTrailer | undefined
  /** Sends all who are still there what came of the round. */
  tell(body: object, payload: Uint8Array): Promise<void>
}

/** A sum for which keys were shared. */
export interface SharedSum {
  readonly roster: readonly Advertisement[]
  readonly sharers: readonly number[]
}

/** A place in the roster: whoever resumes a sum may not have all of its members. */
export interface Place extends Omit<Joined, 'pipe'> {
  readonly pipe: Pipe | undefined
}
