/** Nothing waits in silence: after two seconds a wait says what for, and until when. */
import { formatSpan } from './format.ts'
import type { CliIo } from './io.ts'
import type { Output } from './output.ts'

const SILENCE_MS = 2000
/** Then it repeats itself this often, so that a log shows that it is alive. */
const REPEAT_MS = 15_000

export interface Waiting {
  /** What was waited for has come. */
  end(): void
}

/** `until`: milliseconds from now at which it gives up; undefined: only Ctrl-C ends it. */
export function waiting(io: CliIo, out: Output, what: string, until?: number): Waiting {
  const from = io.clock.now()
  let cancel = io.clock.after(SILENCE_MS, tell)
  function tell(): void {
    const limit =
      until === undefined ? 'Ctrl-C ends it' : `gives up in ${formatSpan(Math.max(0, from + until - io.clock.now()))}`
    out.note(`waiting for ${what} (${formatSpan(io.clock.now() - from)} so far, ${limit})`)
    cancel = io.clock.after(REPEAT_MS, tell)
  }
  return { end: () => cancel() }
}

/** The promise's result, with the note while it takes. */
export async function whileWaiting<T>(waiter: Waiting, result: Promise<T>): Promise<T> {
  try {
    return await result
  } finally {
    waiter.end()
  }
}
