/** What is to happen in one round, drawn from a seed. */
import { KINDS } from './kinds.ts'
import type { Kind } from './kinds.ts'

/** One peer; two at about the same time; one, and then whoever took its stage; one that leaves, and another while it does. */
export const SHAPES = ['one', 'two', 'twice', 'hand-over'] as const

export interface Schedule {
  readonly shape: (typeof SHAPES)[number]
  /** Of the first fault and the second one. */
  readonly kinds: readonly [Kind, Kind]
  /** While the prompt is computed, rather than while tokens come. */
  readonly isEarly: boolean
  /** Milliseconds after it was asked, where it is early; else the token. */
  readonly at: number
  /** Milliseconds to the second fault: from the first, or from the replacement. */
  readonly gap: number
  /** Peers beside the origin over which the layers are spread, and those that have some of them loaded besides. */
  readonly stages: number
  readonly replicas: number
  readonly users: number
}

/** @param peers beside the origin */
export function drawn(random: () => number, peers: number): Schedule {
  const below = (count: number): number => Math.floor(random() * count)
  const one = <T>(of: readonly T[]): T => of[below(of.length)]!
  const shape = one(SHAPES)
  const kinds = [shape === 'hand-over' ? 'leave' : one(KINDS), one(KINDS)] as const
  const isEarly = random() < 0.35
  const stages = 1 + below(Math.min(3, peers - 1))
  return {
    shape,
    kinds,
    isEarly,
    at: isEarly ? below(250) : 3 + below(50),
    gap: shape === 'two' ? below(30) : below(400),
    stages,
    replicas: below(Math.min(stages, peers - stages) + 1),
    users: 1 + below(4),
  }
}

export function shuffled<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map((each) => [random(), each] as const)
    .toSorted(([one], [other]) => one - other)
    .map(([, each]) => each)
}
