/** A clock whose timers can be cancelled all at once: `stop` leaves no handle of ours. */
import type { CancelTimer, Clock } from '../util/index.ts'

export interface TrackedClock extends Clock {
  /** Cancels what is scheduled, and schedules nothing any more. */
  cancelAll(): void
}

export function trackTimers(clock: Clock): TrackedClock {
  const scheduled = new Set<CancelTimer>()
  let stopped = false
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    sleep: (milliseconds, signal) => clock.sleep(milliseconds, signal),
    after(milliseconds, action) {
      if (stopped) return () => undefined
      const cancel = clock.after(milliseconds, () => {
        scheduled.delete(cancel)
        action()
      })
      scheduled.add(cancel)
      return () => {
        scheduled.delete(cancel)
        cancel()
      }
    },
    cancelAll() {
      stopped = true
      for (const cancel of scheduled) cancel()
      scheduled.clear()
    },
  }
}
