/** What a round needs of the mathematics that it carries: training and analyses each have their own. */
import type { Sight } from '../aggregation/types.ts'
import type { Noise } from '../plan/cohort.ts'
import type { Contribution, Sums, VectorShape } from './layout.ts'
import type { FedState } from './state.ts'

export interface RoundFacts {
  /** Mean loss of the global model that the round began with; null where nobody tells it. */
  readonly loss: number | null
  readonly records: number | null
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
  isOver(state: FedState): boolean
  shape(state: FedState): VectorShape
  /** Of a round that starts from this state; undefined: none. */
  noise(state: FedState): Noise | undefined
  /** The state after a sum. @param initial parameters that training begins with, for the statistics */
  apply(state: FedState, sums: Sums, survivors: number, initial: (state: FedState) => Float32Array): FedState
  /** The same where each contribution is seen. */
  applyEach(state: FedState, all: readonly Contribution[]): FedState
  facts(state: FedState, sums: Sums): RoundFacts
}
