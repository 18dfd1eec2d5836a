/** A clock that moves only when a test says so. */
import type { Clock } from '../../../src/util/index.ts'

export interface VirtualClock extends Clock {
  /** Runs what falls due, in order, and lets promises settle in between. */
  advance(milliseconds: number): Promise<void>
  setWall(milliseconds: number): void
  /** Timers that wait. */
  waiting(): number
}

const START = Date.UTC(2026, 10, 24)

/** Enough turns for real I/O of a small file and for promises that follow each other. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export function virtualClock(): VirtualClock {
  let now = 0
  let wall = START
  let order = 0
  const timers = new Map<number, { readonly at: number; readonly action: () => void }>()
  const after: Clock['after'] = (milliseconds, action) => {
    const id = order++
    timers.set(id, { at: now + Math.max(0, milliseconds), action })
    return () => void timers.delete(id)
  }
  const move = (to: number): void => {
    wall += to - now
    now = to
  }
  return {
    now: () => now,
    wall: () => wall,
    setWall: (milliseconds) => void (wall = milliseconds),
    waiting: () => timers.size,
    after,
    sleep: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        const stop = (): void => {
          cancel()
          reject(signal?.reason as Error)
        }
        const cancel = after(milliseconds, () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        })
        if (signal?.aborted === true) stop()
        else signal?.addEventListener('abort', stop, { once: true })
      }),
    async advance(milliseconds) {
      const end = now + milliseconds
      await settle()
      for (;;) {
        const due = [...timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0]
        if (due === undefined) break
        timers.delete(due[0])
        move(Math.max(now, due[1].at))
        due[1].action()
        await settle(4)
      }
      move(end)
      await settle()
    },
  }
}
