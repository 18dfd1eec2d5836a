/**
 * Whose rows run next. People go first, together. Rows of the batch lane run when no person is being answered here, go along with
 * people's rows where that costs these next to nothing, and after a while are as good as any.
 */
import type { BlockMeter } from './block-times.ts'
import { blocksOf, nextPart } from './jobs.ts'
import type { Job, Session } from './jobs.ts'
import { RUN } from './protocol.ts'
import { MAX_SLOTS } from './slot-choice.ts'

/** Rows of all sessions in one run: beyond it the matrix products gain nothing more from company. */
const MAX_ROWS = 512
/** Milliseconds that a run may take where others are here: for so long whoever comes meanwhile waits, at each stage. */
export const RUN_MS = 200
/** The same where nobody else is here: a newcomer waits for one such run at most. */
export const RUN_ALONE_MS = 1_000
/** Rows of a prompt that run together at least, however slow they are: fewer cost as much as these. */
export const LEAST_ROWS = 16

/** How many rows a run for this job's part may have, as measured; undefined: nothing was measured yet. */
export type RowsWithin = (job: Job) => number | undefined
/** Milliseconds after which a row of the batch lane yields no more. Several rows take longer, so they wait longer. */
export const YIELD_MS = 2_000
const ROWS_OF_A_WAIT = 4
/** For so long after rows of a person the next ones are expected: a token over any link that people put up with. */
export const PRESENT_MS = 250

/** @param isShared several sessions are open here: any of them may have a row on its way */
export function rowsOfRun(meter: Pick<BlockMeter, 'rowsWithin'>, isShared: boolean): RowsWithin {
  const ms = isShared ? RUN_MS : RUN_ALONE_MS
  return (job) => meter.rowsWithin(ms, blocksOf(job))
}

/** What a run is held to. */
export interface RunLimits {
  /** One-row jobs of the batch lane that may go along with people. @default 0 */
  readonly riders?: number
  /** @default nothing was measured */
  readonly rowsWithin?: RowsWithin
  /** Steps that one run may have. @default as there are slots */
  readonly most?: number
  /** Prompts and steps do not run together: whichever was first goes first. @default false */
  readonly apart?: boolean
}

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
   * `taken` of each says how many of its rows.
   */
  pick(all: readonly Job[], now: number, limits: RunLimits = {}): Job[] {
    const { riders = 0 } = limits
    const urgent = all.filter((job) => now >= urgentFrom(job))
    const isFree = now - this.#seen >= PRESENT_MS
    const waiting = urgent.length > 0 ? urgent : isFree ? all : []
    const jobs = together(waiting, limits)
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

/** Steps go whenever there is a slot; rows of prompts as many as the time of a run allows, the rest of them next time. */
function together(waiting: readonly Job[], { rowsWithin, most = Infinity, apart }: RunLimits): Job[] {
  const found = limited(firstOfEach(waiting), most)
  const first = found[0]
  if (first === undefined) return []
  const able = apart === true ? found.filter((job) => isStep(job) === isStep(first)) : found
  const steps = able.slice(0, MAX_SLOTS).filter(isStep).length
  let left = Math.min(MAX_ROWS, Math.max(LEAST_ROWS, (rowsWithin?.(first) ?? MAX_ROWS) - steps))
  const jobs: Job[] = []
  for (const job of able) {
    if (jobs.length === MAX_SLOTS) break
    const rest = job.count - job.done
    if (isStep(job)) job.taken = rest
    else if (left >= Math.min(LEAST_ROWS, rest)) left -= job.taken = Math.min(rest, left)
    else continue
    jobs.push(job)
  }
  return jobs
}

/** Of each session what waits first, as far as it waits for the same as the first of all. */
function firstOfEach(waiting: readonly Job[]): Job[] {
  const sessions = new Set<Session>()
  const found: Job[] = []
  for (const job of waiting) {
    const passed = sessions.has(job.session)
    sessions.add(job.session)
    if (!passed && fits(job, waiting[0]!)) found.push(job)
  }
  return found
}

/** Without the steps beyond so many. */
function limited(jobs: readonly Job[], most: number): Job[] {
  let steps = 0
  return jobs.filter((job) => !isStep(job) || steps++ < most)
}

/** A token, or one with guesses behind it; the head takes all rows at once. */
export function isStep(job: Job): boolean {
  return job.count <= LEAST_ROWS || job.part >= job.session.segment.decoders.length
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
    if (passed || !job.session.yields || job.count !== 1 || first === undefined || !fits(job, first)) continue
    job.taken = 1
    riders.push(job)
  }
  return riders
}

/** What runs without adapters takes the graph that it always takes. */
function fits(job: Job, first: Job): boolean {
  return nextPart(job) === nextPart(first) && (job.adapter === undefined) === (first.adapter === undefined)
}
