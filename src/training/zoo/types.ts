/** What a builder of the zoo is given. */

/** A value that goes into a model: float32, its shape without the batch. */
export interface ModelInput {
  readonly name: string
  readonly dims: readonly number[]
}
