/**
 * Finds a stage host that is wedged: stopped, swapping for ever, or stuck in a kernel. A host that computes cannot
 * answer a ping, so the measure is its own work: sessions and rows that it was given and has not answered, against the slowest
 * time a row that it has shown. Where the system says that its process is stopped that is waited for no longer than a moment.
 */
import type { CancelTimer, Clock } from '../../util/index.ts'

/** Before anything was measured: a row of the largest model on the slowest device that weft is meant for. */
const FIRST_ROW_MS = 500
/** Other load on the machine may make it so much slower than it ever was. */
const SLOWDOWN = 8
const GRACE_MS = 2_000
const LOOK_MS = 250
/** Looks in a row at which it is stopped: what is stopped together with its peer wakes a moment later. */
const STOPPED_LOOKS = 2
/** A look that is later than this says that this very process stood still: what the host has said meanwhile may be in the queue. */
const LATE_MS = 500
/** A graph of a part of a large model is loaded in less; one that is packed anew is not loaded while it serves. */
const LOADING_MS = 60_000

/** How long a host may take: for its first row, and how much slower than the slowest since. */
export interface Patience {
  readonly firstMs: number
  readonly slowdown: number
}

export class Watchdog {
  readonly #clock: Clock
  readonly #patience: Patience
  readonly #wedged: (silentMs: number) => void
  readonly #isStopped: () => boolean
  /** Rows given and not answered, oldest first. */
  #open: { readonly session: number; readonly rows: number; readonly at: number }[] = []
  #slowest = 0
  #heard = 0
  /** Milliseconds of silence over work that was given up before it was answered. */
  #owed = 0
  /** Graphs that are being loaded. */
  #loading = 0
  #timer: CancelTimer | undefined
  /** When the next look is due; a time of the clock. */
  #due = 0
  #stoppedLooks = 0

  /** @param isStopped whether its process is seen to be stopped, by whomever */
  constructor(
    clock: Clock,
    wedged: (silentMs: number) => void,
    patience: Patience = { firstMs: FIRST_ROW_MS, slowdown: SLOWDOWN },
    isStopped: () => boolean = () => false,
  ) {
    this.#clock = clock
    this.#patience = patience
    this.#wedged = wedged
    this.#isStopped = isStopped
  }

  /** @param rows 0: the session itself, which is to be opened */
  given(session: number, rows: number): void {
    const now = this.#clock.now()
    if (this.#open.length === 0) this.#heard = now - this.#owed
    this.#owed = 0
    this.#open.push({ session, rows, at: now })
    if (this.#timer === undefined) this.#lookLater()
  }

  /** What is given meanwhile waits for the graph, which says nothing of how fast a row is. */
  loading(isLoading: boolean): void {
    this.#loading = Math.max(0, this.#loading + (isLoading ? 1 : -1))
    this.#heard = this.#clock.now()
  }

  /** Says nothing of how fast it is. */
  opened(session: number): void {
    const place = this.#open.findIndex((work) => work.session === session && work.rows === 0)
    if (place < 0) return
    this.#open.splice(place, 1)
    this.#heard = this.#clock.now()
  }

  answered(session: number, rows: number): void {
    const now = this.#clock.now()
    const place = this.#open.findIndex((work) => work.session === session)
    const [work] = place < 0 ? [] : this.#open.splice(place, 1)
    // What came before it took its time, not this.
    const since = Math.max(work?.at ?? now, this.#heard)
    this.#slowest = Math.max(this.#slowest, (now - since) / Math.max(rows, 1))
    this.#heard = now
  }

  /**
   * A session was closed: what it still had open is not waited for. Who waits gives up, too, when nothing comes: that
   * nothing came until then is not forgotten.
   */
  forget(session: number): void {
    const wasOpen = this.#open.length > 0
    this.#open = this.#open.filter((work) => work.session !== session)
    if (wasOpen && this.#open.length === 0) this.#owed = this.#clock.now() - this.#heard
  }

  stop(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  #lookLater(): void {
    this.#due = this.#clock.now() + LOOK_MS
    this.#timer = this.#clock.after(LOOK_MS, () => this.#look())
  }

  #look(): void {
    this.#timer = undefined
    if (this.#open.length === 0) return
    const late = this.#clock.now() - this.#due
    if (late > LATE_MS) this.#heard = Math.min(this.#clock.now(), this.#heard + late)
    const rows = this.#open.reduce((sum, work) => sum + work.rows, 0)
    const { firstMs, slowdown } = this.#patience
    const work = GRACE_MS + slowdown * rows * (this.#slowest === 0 ? firstMs : this.#slowest)
    const allowed = this.#loading > 0 ? Math.max(work, LOADING_MS) : work
    const silent = this.#clock.now() - this.#heard
    this.#stoppedLooks = this.#isStopped() ? this.#stoppedLooks + 1 : 0
    if (silent > allowed || (silent > LOOK_MS && this.#stoppedLooks >= STOPPED_LOOKS)) this.#wedged(silent)
    else this.#lookLater()
  }
}
