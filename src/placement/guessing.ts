/** Steps with guesses: how many tokens come of one and how many rows it has, in the mean of what was seen lately. */
import type { Guessing, PlanInput } from './types.ts'

const PLAIN: Guessing = { tokens: 1, rows: 1 }
/** Above any window of guesses. */
const MOST_ROWS = 64
/** Less than this gained says no more than chance. */
const LEAST_GAIN = 0.02

/** Of one session. */
export function stepOf({ guessing = PLAIN }: Pick<PlanInput, 'guessing'>): Guessing {
  return guessing
}

/**
 * As far as it can be true: it comes out of records of anybody.
 * @returns undefined where a step gives a token, as without guesses, and where it is no number
 */
export function soundGuessing(tokens: number | undefined, rows: number | undefined): Guessing | undefined {
  if (tokens === undefined || rows === undefined || !(tokens >= 1 + LEAST_GAIN)) return undefined
  const most = Math.min(tokens, MOST_ROWS)
  return { tokens: most, rows: Math.min(MOST_ROWS, Math.max(most, rows || 0)) }
}
