/** The trace of an answer that took several sessions. */
import { expect, it } from 'vitest'
import { joinTraces } from '../../../src/pipeline/origin/joined-trace.ts'
import type { HopTimes, SessionTrace, TraceStep } from '../../../src/pipeline/origin/trace.ts'

const TIMES: HopTimes = { wire_ms: 1, queue_ms: 2, compute_ms: 3, serialize_ms: 4 }

const step = (position: number, begin: number, stages: number, attempt = 0): TraceStep => ({
  attempt,
  phase: 'decode',
  position,
  rows: 1,
  begin_ms: begin,
  origin_ms: 0,
  hops: Array.from({ length: stages }, (_, place) => ({ ...TIMES, compute_ms: place + 1 })),
  back_ms: 1,
  total_ms: 9,
  behind: 0,
})

function part(
  began: number,
  route: string,
  steps: readonly TraceStep[],
  more: Partial<SessionTrace> = {},
): SessionTrace {
  const hops = route.split('').map((peer, from) => ({ peer, from, to: from + 1, clock_ms: from }))
  return { began, hops, steps, dropped: 0, void: { steps: 0, rows: 0 }, ...more }
}

it('goes on as further attempts, by the clock of the first, whichever is told of first', () => {
  const first = part(1_000, 'ab', [step(3, 0, 2), step(4, 10, 2, 1)], { dropped: 2, void: { steps: 1, rows: 4 } })
  const second = part(1_500, 'ab', [step(0, 0, 2), step(5, 20, 2, 1)], { dropped: 3, void: { steps: 2, rows: 5 } })
  const joined = joinTraces([first, second])
  expect(joinTraces([second, first])).toEqual(joined)
  expect(joined.steps.map(({ position, attempt, begin_ms: begin }) => [position, attempt, begin])).toEqual([
    [3, 0, 0],
    [4, 1, 10],
    [0, 2, 500],
    [5, 3, 520],
  ])
  expect(joined).toMatchObject({ began: 1_000, dropped: 5, void: { steps: 3, rows: 9 } })
  expect(joined.hops).toEqual(second.hops)
})

it('has the stages of the last session, and gaps where steps were at others', () => {
  const first = part(0, 'abc', [step(3, 0, 3)])
  const second = part(100, 'adc', [step(4, 0, 3)], { void: null })
  second.hops.forEach((hop) => Object.assign(hop, { clock_ms: hop.peer === 'c' ? null : 7 }))
  const joined = joinTraces([first, second])
  expect(joined.hops.map(({ peer, clock_ms: clock }) => [peer, clock])).toEqual([
    ['a', 7],
    ['d', 7],
    ['c', 2],
  ])
  expect(joined.steps.map(({ hops }) => hops.map((times) => times?.compute_ms ?? null))).toEqual([
    [1, null, 3],
    [1, 2, 3],
  ])
  expect(joined.void).toBeNull()
})
