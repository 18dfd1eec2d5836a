/** A stream of which a test says how long it takes, as libp2p gives it: what is late holds up what is behind it. */
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../src/util/index.ts'

export interface Line {
  readonly near: Stream
  readonly far: Stream
  /** Milliseconds one way from now on; Infinity: nothing arrives any more. */
  takes(milliseconds: number): void
}

class End extends EventTarget {
  readonly status = 'open'
  readonly readStatus = 'readable'
  readonly writableNeedsDrain = false
  readonly #give: (bytes: Uint8Array) => void

  constructor(give: (bytes: Uint8Array) => void) {
    super()
    this.#give = give
  }

  send(data: { subarray(): Uint8Array }): boolean {
    this.#give(data.subarray())
    return true
  }

  pause(): void {}
  resume(): void {}
  abort(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export function line(clock: Clock, milliseconds: number): Line {
  let [ms, cut] = [milliseconds, 0]
  const towards = (other: () => End): ((bytes: Uint8Array) => void) => {
    let free = 0
    return (bytes) => {
      if (ms === Infinity) return
      free = Math.max(free, clock.now() + ms)
      const sent = cut
      clock.after(free - clock.now(), () => {
        if (sent === cut) other().dispatchEvent(Object.assign(new Event('message'), { data: bytes }))
      })
    }
  }
  const far: End = new End(towards(() => near))
  const near = new End(towards(() => far))
  return {
    near: near as unknown as Stream,
    far: far as unknown as Stream,
    takes: (next) => {
      ms = next
      if (next === Infinity) cut++
    },
  }
}
