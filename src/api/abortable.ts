/** Waiting that ends when it must: at a signal, or after a time. */
import { orAbort } from '../util/index.ts'
import type { Clock } from '../util/index.ts'
import { AnswerTimeoutError } from './errors.ts'

/**
 * The values of `source`, until the signal fires: then it throws the reason at once, also when the source does not
 * answer, and tells the source to end. `return` is not waited for: a generator runs it only after its pending step.
 */
export async function* untilAborted<Value>(source: AsyncIterable<Value>, signal: AbortSignal): AsyncGenerator<Value> {
  const iterator = source[Symbol.asyncIterator]()
  let ended = false
  try {
    for (;;) {
      const step = await orAbort(iterator.next(), signal)
      if (step.done === true) {
        ended = true
        return
      }
      yield step.value
    }
  } finally {
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}

/** @throws AnswerTimeoutError */
export function within<Value>(clock: Clock, milliseconds: number, what: string, work: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(milliseconds, () => reject(new AnswerTimeoutError(what, milliseconds)))
    work.then(resolve, reject).finally(cancel)
  })
}
