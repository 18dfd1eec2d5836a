/**
 * Virtual time: what is due runs in order of time, and what is due at the same time in order of its scheduling. Between
 * two actions every promise that can go on does, so that an order never hangs on the machine.
 */
import type { CancelTimer } from '../../src/util/index.ts'

interface Due {
  readonly at: number
  readonly order: number
  action: (() => void) | undefined
}

/** Milliseconds since 1970 at the beginning of every run. */
export const START = Date.UTC(2026, 10, 24)

export class Scheduler {
  /** Milliseconds since the beginning. */
  now = 0
  /** Actions that have run. */
  steps = 0
  #order = 0
  #waiting = 0
  /** A binary heap. */
  readonly #heap: Due[] = []

  /** Timers that wait. */
  get waiting(): number {
    return this.#waiting
  }

  after(milliseconds: number, action: () => void): CancelTimer {
    // As setTimeout has it: what is no time is none.
    const wait = milliseconds > 0 ? milliseconds : 0
    const due: Due = { at: this.now + wait, order: this.#order++, action }
    this.#waiting++
    this.#push(due)
    return () => {
      if (due.action === undefined) return
      due.action = undefined
      this.#waiting--
    }
  }

  /** Runs all that is due within so many milliseconds, or until `isDone`. */
  run(milliseconds: number, isDone: () => boolean = () => false): Promise<void> {
    const end = this.now + milliseconds
    return new Promise((resolve, reject) => {
      const goOn = (): void => {
        try {
          if (this.#runSome(end, isDone)) return void machineImmediate(goOn)
          if (!isDone() && end !== Infinity) this.now = end
          resolve()
        } catch (error) {
          reject(error)
        }
      }
      machineImmediate(goOn)
    })
  }

  /** Whether more is due. */
  #runSome(end: number, isDone: () => boolean): boolean {
    for (let steps = 0; steps < STEPS_AT_ONCE && !isDone(); steps++) {
      const due = this.#heap[0]
      if (due === undefined || due.at > end) return false
      this.#pop()
      const { action } = due
      if (action === undefined) continue
      due.action = undefined
      this.#waiting--
      this.steps++
      this.now = Math.max(this.now, due.at)
      action()
      settle()
    }
    return !isDone()
  }

  #push(due: Due): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(due)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(due, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}

/** Before it is put out of reach (guards.ts). */
const machineImmediate = setImmediate

/** Actions until the loop of the process gets its turn: signals are heard, and a report comes out. */
const STEPS_AT_ONCE = 1_000

/**
 * Runs promises and ticks dry, as the loop of Node does it between two of its callbacks: a turn of that loop for each action was
 * a fifth of a run. Node has it under no other name (DEP0134).
 */
const settle = (process as unknown as { readonly _tickCallback: () => void })._tickCallback
