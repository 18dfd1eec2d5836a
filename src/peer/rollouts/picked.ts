/** What a request that asked for an alias runs with. */
export interface Picked {
  /** Under which it lies in the home; null: the model as it was before any round. */
  readonly name: string | null
  /** What serves: for the request whose candidate cannot be used. */
  readonly live: string | null
  readonly arm: 'candidate' | 'live'
  /** Told once when it has ended: whether it failed by no fault of who asked. */
  ended(isFailed: boolean): void
}

export interface Aliases {
  has(model: string, alias: string): boolean
  /** Undefined: nothing is rolled out under that name. */
  pick(model: string, alias: string, request: string): Picked | undefined
}

export const NO_ALIASES: Aliases = { has: () => false, pick: () => undefined }
