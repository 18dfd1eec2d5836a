/**
 * The time and the chance of the machine are out of reach while a simulation runs: what the product takes past its needs
 * comes from the virtual clock, or is counted as an escape.
 */
import type { Scheduler } from './scheduler.ts'
import { START } from './scheduler.ts'

export interface Guards {
  /** Where real timers were asked for, each once. */
  readonly escapes: ReadonlySet<string>
  /** Milliseconds of the machine, for reports. */
  readonly machineNow: () => number
}

/** Before it is put out of reach. */
const machineNow = performance.now.bind(performance)

export function guard(scheduler: Scheduler): Guards {
  const escapes = new Set<string>()
  const escaped = (name: string): void => {
    const place = new Error(name).stack?.split('\n').find((line) => line.includes('/src/'))
    escapes.add(`${name}${place?.replace(/^.*\/src\//, ' src/') ?? ''}`)
  }
  const timeout = ((action: () => void, milliseconds = 0) => {
    escaped('setTimeout')
    return { cancel: scheduler.after(milliseconds, action), unref: () => undefined, ref: () => undefined }
  }) as unknown as typeof setTimeout
  Object.assign(globalThis, {
    setTimeout: timeout,
    setInterval: () => {
      throw new Error('a real interval in a simulation')
    },
    setImmediate: (action: () => void) => void scheduler.after(0, action),
    clearTimeout: (timer: { cancel?: () => void } | undefined) => timer?.cancel?.(),
  })
  AbortSignal.timeout = (milliseconds) => {
    escaped('AbortSignal.timeout')
    const ending = new AbortController()
    scheduler.after(milliseconds, () => ending.abort(new DOMException('the time has passed', 'TimeoutError')))
    return ending.signal
  }
  Date.now = () => Math.floor(START + scheduler.now)
  performance.now = () => scheduler.now
  Math.random = () => {
    throw new Error('chance without a seed in a simulation')
  }
  return { escapes, machineNow }
}
