/** The deadline of a request, from when it is taken: the planning and the loading before its first row are within it. */
import { DeadlineError } from '../pipeline/index.ts'
import type { Clock } from '../util/index.ts'

export interface Deadline {
  /** Aborts with the caller's reason, or with a DeadlineError. */
  readonly signal: AbortSignal
  readonly stop: () => void
}

/** @param milliseconds undefined: none */
export function deadlineFrom(clock: Clock, signal: AbortSignal, milliseconds: number | undefined): Deadline {
  if (milliseconds === undefined) return { signal, stop: () => undefined }
  const late = new AbortController()
  const stop = clock.after(milliseconds, () => late.abort(new DeadlineError(milliseconds)))
  return { signal: AbortSignal.any([signal, late.signal]), stop }
}
