/** What a site adds to a sum, and what it keeps to itself. */
import type { Noise } from '../plan/cohort.ts'
import type { Contribution } from '../rounds/layout.ts'
import type { Begun, FedState } from '../rounds/state.ts'
import type { Trained } from './compressed.ts'

/** What a site keeps to itself between rounds. */
export interface SiteMemory {
  /** SCAFFOLD's c_k. */
  readonly control?: Float64Array
  /** All parameters as this site has them, those that stay with it among them. */
  readonly own?: Float32Array
  /** Ditto's model. */
  readonly ditto?: Float32Array
  /** What sums have not carried of its updates. */
  readonly residual?: Float64Array
  /** Of a round that is made of two sums, between them. */
  readonly trained?: Trained
}

export interface Prepared {
  readonly contribution: Contribution
  /** Holds once the sum was made with this site in it. */
  readonly memory: SiteMemory
  readonly noise: Noise | undefined
  /** Rounds since the model that it was trained from, where rounds are asynchronous. */
  readonly age?: number
  /** Whether training again from the same state gives the same bits. @default true */
  readonly isRepeatable?: boolean
  /** The same update in a later round, where it may be older. @param done models that there are by then */
  readonly at?: (done: number) => Prepared
}

/** A site as rounds see it: what it adds, and nothing of what that is made of. */
export interface RoundSite {
  /** Of its own that the sum is over. */
  readonly records: number
  begin(state: FedState): Promise<Begun>
  prepare(state: FedState, memory: SiteMemory, round: number, signal?: AbortSignal): Promise<Prepared>
}
