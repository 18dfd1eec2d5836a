/**
 * The process of a simulated peer: its clock, and what reaches it from outside. While it is frozen nothing of it runs
 * and what comes waits in order; once it is dead nothing of it runs ever again.
 */
import type { CancelTimer, Clock } from '../../src/util/index.ts'
import { START } from './scheduler.ts'
import type { Scheduler } from './scheduler.ts'

export class SimulatedProcess implements Clock {
  readonly #scheduler: Scheduler
  /** Milliseconds by which its wall clock is wrong. */
  skew: number
  #state: 'running' | 'frozen' | 'dead' = 'running'
  #held: (() => void)[] = []

  constructor(scheduler: Scheduler, skew = 0) {
    this.#scheduler = scheduler
    this.skew = skew
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen'
  }

  now(): number {
    return this.#scheduler.now
  }

  wall(): number {
    return Math.floor(START + this.#scheduler.now + this.skew)
  }

  after(milliseconds: number, action: () => void): CancelTimer {
    let isCancelled = false
    const cancel = this.#scheduler.after(milliseconds, () =>
      this.run(() => {
        if (!isCancelled) action()
      }),
    )
    return () => {
      isCancelled = true
      cancel()
    }
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        cancel()
        reject(signal?.reason as Error)
      }
      const cancel = this.after(milliseconds, () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      })
      if (signal?.aborted === true) stop()
      else signal?.addEventListener('abort', stop, { once: true })
    })
  }

  /** What comes from outside: at once, when it goes on, or never. */
  run(action: () => void): void {
    if (this.#state === 'dead') return
    if (this.#state === 'frozen') this.#held.push(action)
    else action()
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen'
  }

  /** What has waited runs one after another, as a process that was stopped finds it. */
  thaw(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    for (const action of held) this.#scheduler.after(0, () => this.run(action))
  }

  kill(): void {
    this.#state = 'dead'
    this.#held = []
  }
}
