/** `--timeout` as a signal, joined with the command's own. */
import type { CommandContext } from './context.ts'
import { WaitTimedOutError } from './errors.ts'
import { formatSpan } from './format.ts'

/** Aborts with `WaitTimedOutError` after `--timeout`, or after `fallback` milliseconds; without either it never does. */
export function deadlineSignal(context: CommandContext, what: string, fallback?: number): AbortSignal {
  const limit = context.flags.number('timeout') ?? fallback
  if (limit === undefined) return context.signal
  const controller = new AbortController()
  const error = new WaitTimedOutError(what, formatSpan(limit), 'the time that was given has passed')
  context.defer(context.io.clock.after(limit, () => controller.abort(error)))
  return AbortSignal.any([context.signal, controller.signal])
}
