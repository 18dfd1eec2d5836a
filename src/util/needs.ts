/**
 * Time and randomness as needs, so that a mesh can run on a virtual clock from a seed (DESIGN decision 16). The real
 * ones are made here and nowhere else; a lint rule keeps the direct calls out of the other rooms.
 */
import { randomBytes } from 'node:crypto'

/** Cancels what `Clock.after` has scheduled; harmless when it ran already. */
export type CancelTimer = () => void

export interface Clock {
  /** Milliseconds, never going back: for durations and deadlines. */
  now(): number
  /** Milliseconds since 1970: for records and logs only. */
  wall(): number
  after(milliseconds: number, action: () => void): CancelTimer
  /** Resolves after the time, or rejects with the signal's reason. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

export interface RandomSource {
  bytes(length: number): Uint8Array
}

export function systemClock(): Clock {
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    after: (milliseconds, action) => {
      const timer = setTimeout(action, milliseconds)
      return () => clearTimeout(timer)
    },
    sleep: (milliseconds, signal) => sleepOn(milliseconds, signal),
  }
}

function sleepOn(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error)
      return
    }
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

export function systemRandom(): RandomSource {
  return { bytes: (length) => randomBytes(length) }
}
