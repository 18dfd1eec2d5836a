/** What the hops of one attempt answer, each once; trouble ends the wait. */
import type { Clock } from '../../util/index.ts'

/** A hop that stays has nothing to do for its answer. */
const STAY_DEADLINE_MS = 2_500

export interface Answers {
  /** @param taken rows that the hop has already */
  answered(hop: number, taken: number): void
  /** Hops that have not answered yet. */
  missing(): number[]
  fail(error: Error): void
  /** Rows taken in by each hop. @throws what `fail` was given */
  readonly all: Promise<readonly number[]>
}

function collectAnswers(hops: number): Answers {
  const taken = new Map<number, number>()
  const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>()
  // It may fail before anybody waits for it.
  promise.catch(() => undefined)
  const places = Array.from({ length: hops }, (_, hop) => hop)
  return {
    answered(hop, rows) {
      if (hop >= hops || taken.has(hop)) return
      taken.set(hop, rows)
      if (taken.size === hops) resolve(places.map((place) => taken.get(place)!))
    },
    missing: () => places.filter((place) => !taken.has(place)),
    fail: reject,
    all: promise,
  }
}

/**
 * @param stay hops that are open already
 * @param openMs for those that are not
 * @param late told of each hop that has not answered in time
 */
export function answersOf(
  clock: Clock,
  hops: number,
  {
    stay,
    openMs,
    late,
  }: { readonly stay: readonly number[]; readonly openMs: number; readonly late: (hop: number) => Error },
): { readonly answers: Answers; readonly cancel: () => void } {
  const answers = collectAnswers(hops)
  const all = Array.from({ length: hops }, (_, hop) => hop)
  const timers = [
    answerWithin(clock, answers, STAY_DEADLINE_MS, stay, late),
    answerWithin(clock, answers, openMs, all, late),
  ]
  return {
    answers,
    cancel: () => {
      for (const timer of timers) timer()
    },
  }
}

/** Fails the wait for those of `hops` that have not answered in time; returns how to call that off. */
function answerWithin(
  clock: Clock,
  answers: Answers,
  milliseconds: number,
  hops: readonly number[],
  late: (hop: number) => Error,
): () => void {
  return clock.after(milliseconds, () => {
    const silent = answers.missing().filter((hop) => hops.includes(hop))
    for (const error of silent.map(late)) answers.fail(error)
  })
}
