/** What happened in a run, in order: its hash is the same for the same seed, whatever the machine. */
import { createHash } from 'node:crypto'
import type { Scheduler } from './scheduler.ts'

export class RunLog {
  readonly #scheduler: Scheduler
  readonly #hash = createHash('sha256')
  readonly #listen: ((line: string) => void) | undefined
  lines = 0

  /** @param listen is told each line */
  constructor(scheduler: Scheduler, listen?: (line: string) => void) {
    this.#scheduler = scheduler
    this.#listen = listen
  }

  add(what: string, ...values: readonly (string | number | boolean | null | undefined)[]): void {
    const line = `${this.#scheduler.now.toFixed(3)} ${what} ${values.join(' ')}`
    this.#hash.update(`${line}\n`)
    this.lines++
    this.#listen?.(line)
  }

  /** Ends the log. */
  digest(): string {
    return this.#hash.digest('hex')
  }
}
