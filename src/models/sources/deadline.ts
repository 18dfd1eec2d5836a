/** Waits that end: by the caller's signal, by a limit for all, or because nothing moves any more. */
import type { Clock } from '../../util/index.ts'
import { FetchError } from '../errors.ts'

export interface Wait {
  readonly signal: AbortSignal
  /** Something arrived: the time without progress starts anew. */
  moved(): void
  /** Ends the timers. */
  end(): void
}

export interface WaitLimits {
  /** Milliseconds in all. @default none */
  readonly total?: number
  /** Milliseconds without any progress. @default none */
  readonly stall?: number
}

export function startWait(clock: Clock, source: string, limits: WaitLimits, signal?: AbortSignal): Wait {
  const controller = new AbortController()
  const stop = (why: string) => () => controller.abort(new FetchError(source, why))
  const seconds = (milliseconds: number): string => `${Math.round(milliseconds / 1000)} s`
  const { total, stall } = limits
  const cancelTotal = total === undefined ? () => {} : clock.after(total, stop(`not done within ${seconds(total)}`))
  const watch = (): (() => void) =>
    stall === undefined ? () => {} : clock.after(stall, stop(`nothing arrived for ${seconds(stall)}`))
  let cancelStall = watch()
  return {
    signal: signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]),
    moved() {
      cancelStall()
      if (!controller.signal.aborted) cancelStall = watch()
    },
    end() {
      cancelTotal()
      cancelStall()
    },
  }
}
