/** What a strategy gets and gives: updates of members in, the next global model out. */

/** D_k = w_k - w of one member, and what its strategy needs besides. */
export interface ClientUpdate {
  readonly records: number
  readonly update: Float64Array
  /** Local steps that were taken. */
  readonly steps?: number
  /** Control variate before the round. */
  readonly control?: Float64Array
  /** Rounds since the model that the update started from. */
  readonly staleness?: number
  /** Of the model that the member started from, on its own records. */
  readonly loss?: number
}

export interface AggregationInput {
  readonly global: Float64Array
  /** What the strategy gave back last time; what is missing is zero. */
  readonly state: Readonly<Record<string, Float64Array>>
  readonly clients: readonly ClientUpdate[]
}

export interface Aggregation {
  readonly global: Float64Array
  readonly state: Readonly<Record<string, Float64Array>>
  /** Places of the updates that were picked, rising. */
  readonly selected?: readonly number[]
  readonly buckets?: readonly (readonly number[])[]
  /** New control variates, by place. */
  readonly controls?: readonly Float64Array[]
}

/**
 * What a strategy must see: a weighted sum, which secure aggregation gives; sums of buckets of members, which it gives as
 * well; or each single update, so that no member's is secret from the aggregator.
 */
export type Sight = 'sum' | 'buckets' | 'each'

/** Means of buckets of members, each of which may be the work of an attacker. */
export interface MeansInput extends Omit<AggregationInput, 'clients'> {
  readonly means: readonly Float64Array[]
}

export interface Strategy {
  readonly name: string
  readonly sees: Sight
  /** Where it sees buckets: the same from their means alone, which is all that secure sums give. */
  combine?(input: MeansInput): Aggregation
  /** @throws NotFiniteError, VectorLengthError, EmptyInputError, ParameterRangeError */
  aggregate(input: AggregationInput): Aggregation
}

/** Parameters of a plan, as JSON. */
export type StrategyParameters = Readonly<Record<string, unknown>>
