/**
 * Which steps run together. Those that left the stage before in one run come here within milliseconds, one frame after another: a
 * run that begins with the first of them has one row, the next run has the others, and at every stage that is idle groups fall
 * apart, until a run of one row follows another (eight sessions over two stages: 1.4 and 2.0 rows a run). So the first of them waits for those
 * that it ran with last, a small part of a run long. And groups that only grow would be one in the end, that goes from stage to
 * stage while all but one of these are idle: so a run takes a stage's share of the sessions, where fewer rows take less time.
 */
import type { BlockMeter } from './block-times.ts'
import { blocksOf } from './jobs.ts'
import type { Job, Session } from './jobs.ts'
import { isStep, PRESENT_MS } from './lanes.ts'
import type { RunLimits } from './lanes.ts'
import { RUN } from './protocol.ts'

/** Of the time of a run of one row: for so long the first step that is here waits. */
const SHARE = 0.25
/** Milliseconds: shorter waits than a timer has are none. */
const LEAST_MS = 1
const MOST_MS = 10
/** A run of all has to take so many times as long as a run of a share, or nothing is gained. */
const WORTH = 1.25
/** As many times as long as for one row a run of the steps that wait has to take for a prompt to run without them. */
const APART = 1.5

export class Company {
  readonly #meter: Pick<BlockMeter, 'alone' | 'factor'>
  readonly #layers: number
  /** Of sessions that are open: with whom each ran last. */
  readonly #last = new WeakMap<Session, ReadonlySet<Session>>()
  readonly #stepped = new WeakMap<Session, number>()

  /** @param layers decoder layers of the model, here and elsewhere */
  constructor(meter: Pick<BlockMeter, 'alone' | 'factor'>, layers: number) {
    this.#meter = meter
    this.#layers = layers
  }

  /**
   * Milliseconds for which those that wait are to be left waiting, and are told that they were; 0: a run may begin.
   * @param waiting in their order
   */
  patience(waiting: readonly Job[], now: number): number {
    const first = waiting[0]
    if (first === undefined || !waiting.every(isEntering) || !this.#isAnyMissing(waiting, now)) return 0
    const longest = Math.min(MOST_MS, Math.max(LEAST_MS, SHARE * (this.#meter.alone(blocksOf(first)) ?? 0)))
    const left = first.since + longest - now
    if (left <= 0) return 0
    for (const job of waiting) job.ran |= RUN.gathered
    return left
  }

  #isAnyMissing(waiting: readonly Job[], now: number): boolean {
    const here = new Set(waiting.map(({ session }) => session))
    const isMissing = (session: Session): boolean =>
      !here.has(session) && !session.closed && this.#isPresent(session, now)
    return [...here].some((session) => [...(this.#last.get(session) ?? [])].some(isMissing))
  }

  #isPresent(session: Session, now: number): boolean {
    return now - (this.#stepped.get(session) ?? -Infinity) < PRESENT_MS
  }

  /** A run of these begins. */
  ran(jobs: readonly Job[], now: number): void {
    const entering = jobs.filter(isEntering)
    const together = new Set(entering.map(({ session }) => session))
    for (const { session } of entering) {
      this.#last.set(session, together)
      this.#stepped.set(session, now)
    }
  }

  /** Of the next run. @param waiting at least one; @param sessions that are open here */
  limits(waiting: readonly Job[], sessions: Iterable<Session>, now: number): Pick<RunLimits, 'apart' | 'most'> {
    return { most: this.#most(waiting[0]!, sessions, now), apart: this.#isApart(waiting.filter(isStep).length) }
  }

  /**
   * Whether so many steps make a prompt in their run wait for nothing: each takes time of its own, and apart from one another all are
   * sooner done or as soon. Where a run of several takes hardly longer than one of one, they go along.
   */
  #isApart(steps: number): boolean {
    return (this.#meter.factor(steps) ?? 1) >= APART
  }

  /**
   * Steps that the next run may have. Layers here say how many stages there are: as many as these fit into the model.
   * @param first of those that wait
   * @param sessions that are open here
   */
  #most(first: Job, sessions: Iterable<Session>, now: number): number {
    const layers = blocksOf(first)
    const stages = layers === 0 ? 1 : Math.round(this.#layers / layers)
    if (stages < 2) return Infinity
    const present = [...sessions].filter((session) => this.#isPresent(session, now)).length
    const share = Math.max(1, Math.ceil(present / stages))
    const [all, some] = [this.#meter.factor(present), this.#meter.factor(share)]
    return all !== undefined && some !== undefined && all >= WORTH * some ? share : Infinity
  }
}

/** A step that nothing here has computed yet. */
function isEntering(job: Job): boolean {
  return job.part === 0 && job.done === 0 && isStep(job)
}
