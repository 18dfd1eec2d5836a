/** Updates that are made smaller by a linear map, so that a sum of what is sent is what would be sent of the sum. */
import type { FedState } from '../rounds/state.ts'

export interface Sent {
  /** What a member adds to the sum from this state. */
  readonly reals: Float64Array
  /** What of its vector the sum does not carry: it is added to the next one. Undefined: nothing is kept. */
  readonly residual?: Float64Array
}

export interface Compression {
  /** Secure sums of one round: the model changes with the last. */
  readonly sums: 1 | 2
  /** What the state carries from the beginning on. @param shapes of the parameters that are shared. @throws FedPlanError: nothing is saved */
  first(shapes: readonly { readonly dims: readonly number[] }[]): FedState['strategy']
  /** Whether the sum from this state changes the model. */
  isLast(state: Pick<FedState, 'done'>): boolean
  /** Coordinates of the sum from this state. */
  size(state: FedState): number
  /** @param vector update, with what was not carried before */
  send(state: FedState, vector: Float64Array): Sent
  /** The update of the model that a mean of what was sent stands for. */
  receive(state: FedState, mean: Float64Array): Float64Array
  /** What the state carries after a sum with this mean. */
  after(state: FedState, mean: Float64Array): FedState['strategy']
}
