/**
 * Whose rows run next. People go first, together. Rows of the batch lane run when no person is being answered here, go along with
 * people's rows where that costs these next to nothing, and after a while are as good as any.
 */
import { MAX_SLOTS } from './decoder-stage.ts'
import { nextPart } from './jobs.ts'
import type { Job, Session } from './jobs.ts'
import { RUN } from './protocol.ts'

/** Rows of all sessions in one run: beyond it the matrix products gain nothing more from company. */
const MAX_ROWS = 512
/** Milliseconds after which a row of the batch lane yields no more. Several rows take longer, so they wait longer. */
export const YIELD_MS = 2_000
const ROWS_OF_A_WAIT = 4
/** For so long after rows of a person the next ones are expected: a token over any link that people put up with. */
export const PRESENT_MS = 250

/** All times in milliseconds of one clock. */
export class Lanes {
  #seen = -Infinity

  /** Rows are here. */
  came({ session }: Pick<Job, 'session'>, now: number): void {
    if (!session.yields) this.#seen = now
  }

  /**
   * Those that run together now: the oldest job, and those that wait for the same part, one a session, in order, within the limits
   * of a run. None: nothing may run before `wakeIn`.
   * @param riders one-row jobs of the batch lane that may go along with people
   */
  pick(all: readonly Job[], now: number, riders = 0): Job[] {
    const urgent = all.filter((job) => now >= urgentFrom(job))
    const isFree = now - this.#seen >= PRESENT_MS
    const waiting = urgent.length > 0 ? urgent : isFree ? all : []
    const jobs = together(waiting)
    if (urgent.length > 0 && riders > 0) jobs.push(...ridersOf(all, jobs, riders))
    if (!isFree || urgent.length > 0)
      for (const job of all) if (job.session.yields && !jobs.includes(job)) job.ran |= RUN.yielded
    return jobs
  }

  /** Until the first of these may run. */
  wakeIn(all: readonly Job[], now: number): number {
    const first = Math.min(this.#seen + PRESENT_MS, ...all.map(urgentFrom))
    return Math.max(1, first - now)
  }
}

function urgentFrom({ session, since, count }: Job): number {
  return session.yields ? since + YIELD_MS * Math.max(1, count / ROWS_OF_A_WAIT) : -Infinity
}

function together(waiting: readonly Job[]): Job[] {
  const first = waiting[0]
  if (first === undefined) return []
  const jobs: Job[] = []
  const sessions = new Set<Session>()
  let rows = 0
  for (const job of waiting) {
    const passed = sessions.has(job.session)
    sessions.add(job.session)
    if (passed || !fits(job, first)) continue
    if (jobs.length === MAX_SLOTS || (jobs.length > 0 && rows + job.count > MAX_ROWS)) break
    jobs.push(job)
    rows += job.count
  }
  return jobs
}

/** One-row jobs for the same part, the first of their sessions. */
function ridersOf(all: readonly Job[], jobs: readonly Job[], most: number): Job[] {
  const [first] = jobs
  const sessions = new Set(jobs.map(({ session }) => session))
  const riders: Job[] = []
  for (const job of all) {
    if (riders.length === most || jobs.length + riders.length === MAX_SLOTS) break
    const passed = sessions.has(job.session)
    sessions.add(job.session)
    if (!passed && job.session.yields && job.count === 1 && first !== undefined && fits(job, first)) riders.push(job)
  }
  return riders
}

/** What runs without adapters takes the graph that it always takes. */
function fits(job: Job, first: Job): boolean {
  return nextPart(job) === nextPart(first) && (job.adapter === undefined) === (first.adapter === undefined)
}
