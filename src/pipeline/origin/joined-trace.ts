/** One trace of an answer that took several sessions, one after the other: each goes on as a further attempt of the one before. */
import type { SessionTrace, TraceStep } from './trace.ts'

type Hop = SessionTrace['hops'][number]

/** @param parts one at least, in any order. The last says which stages there are; steps at others are not told, as those of a lost stage. */
export function joinTraces(parts: readonly SessionTrace[]): SessionTrace {
  const inOrder = parts.toSorted((one, other) => one.began - other.began)
  const [{ began }, { hops }] = [inOrder[0]!, inOrder.at(-1)!]
  const steps: TraceStep[] = []
  for (const part of inOrder) {
    const attempts = steps.reduce((most, { attempt }) => Math.max(most, attempt + 1), 0)
    const places = hops.map((hop) => part.hops.findIndex((other) => isSame(hop, other)))
    for (const step of part.steps)
      steps.push({
        ...step,
        attempt: step.attempt + attempts,
        begin_ms: step.begin_ms + part.began - began,
        hops: places.map((place) => step.hops[place] ?? null),
      })
  }
  return {
    began,
    hops: hops.map((hop) => ({ ...hop, clock_ms: worstOf(hop, inOrder) })),
    steps,
    dropped: inOrder.reduce((sum, { dropped }) => sum + dropped, 0),
    void: inOrder.map((part) => part.void).reduce(together),
  }
}

function isSame(one: Hop, other: Hop): boolean {
  return one.peer === other.peer && one.from === other.from && one.to === other.to
}

/** Null: it has told nothing in any of them. */
function worstOf(hop: Hop, parts: readonly SessionTrace[]): number | null {
  const told = parts.flatMap(({ hops }) => hops.filter((other) => isSame(hop, other))).map(({ clock_ms: ms }) => ms)
  return told.reduce((worst, ms) => (worst === null || ms === null ? (worst ?? ms) : Math.max(worst, ms)), null)
}

function together(one: SessionTrace['void'], other: SessionTrace['void']): SessionTrace['void'] {
  return one === null || other === null ? null : { steps: one.steps + other.steps, rows: one.rows + other.rows }
}
