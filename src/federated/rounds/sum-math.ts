/** What a round needs of the mathematics that it carries: training and analyses each have their own. */
import type { Sight } from '../aggregation/types.ts'
import type { Noise } from '../plan/cohort.ts'
import type { Contribution, Sums, VectorShape } from './layout.ts'
import type { Begun, FedState } from './state.ts'

export interface RoundFacts {
  /** Mean loss of the global model that the round began with; null where nobody tells it. */
  readonly loss: number | null
  readonly records: number | null
  /** Of asynchronous rounds: mean number of rounds since the models that updates were trained from. */
  readonly staleness?: number
}

/** What one bucket gave. */
export interface BucketSum {
  readonly sums: Sums
  /** Members whose vectors are in it. */
  readonly survivors: number
}

export interface SumMath {
  /** Shares that restore a secret, and votes that a state needs. */
  readonly t: number
  /** The bound c of the round's header. */
  readonly bound: number
  /** Of the integers of a secure sum; undefined: none is made. */
  readonly encoding: { readonly bits: number; readonly f: number } | undefined
  /** What the sum has to be made of. */
  readonly sees: Sight
  /** Members of a bucket; undefined: all are one sum. */
  readonly bucket: number | undefined
  /** Whether the statistics of the columns are made of buckets too. */
  readonly hasBucketStatistics: boolean
  /** Buckets that a round is made of, at least. */
  readonly leastBuckets: number
  isOver(state: FedState): boolean
  shape(state: FedState): VectorShape
  /** Of a round that starts from this state; undefined: none. */
  noise(state: FedState): Noise | undefined
  /** The state after a sum. @param begin what training begins with, for the statistics */
  apply(state: FedState, sums: Sums, survivors: number, begin: (state: FedState) => Begun): FedState
  /** The same where each contribution is seen. */
  applyEach(state: FedState, all: readonly Contribution[]): FedState
  /** The same where sums of buckets are seen, in their order. */
  applyBuckets(state: FedState, all: readonly BucketSum[], begin: (state: FedState) => Begun): FedState
  facts(state: FedState, sums: Sums): RoundFacts
}
