/** What a simulation adds to a plan: how many clients there are, and what goes wrong with them. */

export const ATTACKS = ['sign-flip', 'random', 'zeros', 'alie', 'nan'] as const
export type Attack = (typeof ATTACKS)[number]

/** Id of its job: what members draw by chance follows from it. */
export function simulationJob(seed: number): string {
  return `simulation-${seed}`
}

export interface SimulationSpec {
  readonly seed: number
  /** Virtual clients on the rows of one table; undefined: each data file is a site. */
  readonly clients?: number | undefined
  /** Threads over which virtual clients are shared out; the result is the same. @default cores, for 64 clients and more */
  readonly threads?: number | undefined
  /** Concentration of a Dirichlet distribution of labels over clients: small is skewed. @default even */
  readonly skew?: number | undefined
  /** Share of the clients that is asked in a round. @default 1 */
  readonly fraction?: number | undefined
  /** Chance that a client says nothing in a round. @default 0 */
  readonly dropouts?: number | undefined
  /** Chance that it is late: its update misses the round; under fedbuff it comes later. @default 0 */
  readonly stragglers?: number | undefined
  readonly attack?: { readonly kind: Attack; readonly share: number } | undefined
  /** Sites that say nothing, by round from 1. */
  readonly drops?: ReadonlyMap<number, ReadonlySet<string>> | undefined
  /** Real masks, keys and shares; without them the same integers are added. @default off for virtual clients */
  readonly masks?: boolean | undefined
}
