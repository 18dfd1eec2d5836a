import type { Clock } from '../../../src/util/index.ts'

/** A clock that is moved by hand; timers run when it passes them. */
export function handClock(): Clock & { advance(milliseconds: number): void } {
  let now = 0
  let timers: { at: number; action: () => void }[] = []
  return {
    now: () => now,
    wall: () => now,
    after: (milliseconds, action) => {
      const timer = { at: now + milliseconds, action }
      timers.push(timer)
      return () => (timers = timers.filter((other) => other !== timer))
    },
    sleep: () => Promise.reject(new Error('not used')),
    advance: (milliseconds) => {
      const end = now + milliseconds
      for (;;) {
        const next = timers.toSorted((x, y) => x.at - y.at)[0]
        if (next === undefined || next.at > end) break
        timers = timers.filter((other) => other !== next)
        now = next.at
        next.action()
      }
      now = end
    },
  }
}
