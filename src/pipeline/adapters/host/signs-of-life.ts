/**
 * Finds a training host that is stopped, swaps for ever, or is stuck in a kernel. The host says each half second that it is there,
 * between the runs of its layers, so the measure is its own silence while it has something to do: many times the longest
 * that it has shown.
 */
import type { CancelTimer, Clock } from '../../../util/index.ts'

/** How often a host says so. */
export const SIGN_MS = 500
const LOOK_MS = 250
const GRACE_MS = 4_000
/** Other load on the machine may make it so much slower than it ever was. */
const SLOWDOWN = 8
/** Over weights that are read, and what it is asked for the first time: of the largest layers and heads that weft is meant for. */
const FIRST_MS = 120_000
/** A look that comes so late says that this process, or the machine, stood still itself. */
const LATE_MS = 2_000

export class SignsOfLife {
  readonly #clock: Clock
  readonly #frozen: (silentMs: number) => void
  /** Questions that are not answered, by what they ask; false: for nothing that would say how the host computes. */
  readonly #open: (string | false)[] = []
  /** What has been answered before. */
  readonly #known = new Set<string>()
  #heard = 0
  #longest = SIGN_MS
  #timer: CancelTimer | undefined

  /** @param frozen is told once, with the silence in milliseconds */
  constructor(clock: Clock, frozen: (silentMs: number) => void) {
    this.#clock = clock
    this.#frozen = frozen
  }

  /** @param what equal for questions that take it about as long; false: weights are read, which says nothing of them */
  asked(what: string | false): void {
    if (this.#open.length === 0) this.#heard = this.#clock.now()
    this.#open.push(what)
    this.#watch()
  }

  answered(what: string | false): void {
    this.heard()
    this.#open.splice(this.#open.indexOf(what), 1)
    if (what !== false) this.#known.add(what)
  }

  /** Nothing of the kind will be asked again. */
  forget(isOver: (what: string) => boolean): void {
    for (const what of this.#known) if (isOver(what)) this.#known.delete(what)
  }

  heard(): void {
    const now = this.#clock.now()
    if (this.#open.length > 0 && !this.#open.includes(false)) this.#longest = Math.max(this.#longest, now - this.#heard)
    this.#heard = now
  }

  stop(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  #watch(): void {
    const due = this.#clock.now() + LOOK_MS
    this.#timer ??= this.#clock.after(LOOK_MS, () => this.#look(due))
  }

  #look(due: number): void {
    this.#timer = undefined
    if (this.#open.length === 0) return
    const now = this.#clock.now()
    if (now - due > LATE_MS) this.#heard = now
    const silent = now - this.#heard
    const allowed = GRACE_MS + SLOWDOWN * this.#longest
    const isNew = this.#open.some((what) => what === false || !this.#known.has(what))
    if (silent > (isNew ? Math.max(FIRST_MS, allowed) : allowed)) this.#frozen(silent)
    else this.#watch()
  }
}
