/**
 * What a guarded program and its parent say to each other. The task goes in as JSON on standard input; lines of JSON
 * come back on a descriptor of their own, so that nothing that a library prints is taken for one; a second one stays
 * silent, and its end says that the parent is gone.
 */
import type { ErrorData } from '../../errors.ts'

export const MESSAGES_FD = 3
export const LIFELINE_FD = 4

export type GuardedLine =
  | { readonly type: 'event'; readonly value: unknown }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: ErrorData }

/** What the guardian writes to standard error before it ends a process that holds too much: then the bytes. */
export const OVER_MEMORY = 'weft-guardian: over memory'

/** Options of the guardian's thread. */
export interface GuardianInit {
  readonly memory: number
}
