/** A bounded number of places, given in the order of asking. */

export interface Slots {
  /** Resolves with how to give the place back; harmless when called twice. */
  take(): Promise<() => void>
}

export function createSlots(count: number): Slots {
  let free = count
  const waiting: (() => void)[] = []
  const release = (): void => {
    const next = waiting.shift()
    if (next === undefined) free += 1
    else next()
  }
  return {
    async take() {
      if (free > 0) free -= 1
      else await new Promise<void>((resolve) => waiting.push(resolve))
      let held = true
      return () => {
        if (held) release()
        held = false
      }
    },
  }
}
