/** What is shown below the waterfall of windows of guesses. */
import { expect, it } from 'vitest'
import { traceLines } from '../../src/cli/trace-view.ts'
import { Traces } from '../../src/peer/traces.ts'
import type { SessionTrace, TraceStep } from '../../src/pipeline/index.ts'

const FACTS = { request: 'r1', model: 'm', at: '2026-11-30T00:00:00.000Z', prompt_tokens: 1, tokens: 3 }
const hop = { wire_ms: 1, queue_ms: 0, compute_ms: 2, serialize_ms: 0 }

const step = (phase: TraceStep['phase'], position: number, behind: number): TraceStep => ({
  attempt: 0,
  phase,
  position,
  rows: 1,
  begin_ms: position * 4,
  origin_ms: 0,
  hops: [hop],
  back_ms: 1,
  total_ms: 4,
  behind,
})

/** The line of what was in flight; undefined: there is none. */
function flight(most: number, none: SessionTrace['void']): string | undefined {
  const traces = new Traces({ count: () => undefined, observe: () => undefined })
  const hops = [{ peer: 'a', from: 0, to: 1, clock_ms: 0 }]
  const steps = [step('prefill', 0, 0), step('decode', 1, most - 1)]
  traces.add(FACTS, { began: 0, hops, steps, dropped: 0, void: none })
  return traceLines(traces.get('r1'), new Map(), undefined).find((line) => line.startsWith('in flight'))
}

it('windows that came to nothing are told, and that it is not known which did', () => {
  expect(flight(1, { steps: 0, rows: 0 })).toBeUndefined()
  expect(flight(1, null)).toBeUndefined()
  expect(flight(2, { steps: 0, rows: 0 })).toBe('in flight at once: 2.0 steps, 2 at most')
  expect(flight(2, { steps: 1, rows: 4 })).toMatch(/; 4 rows in 1 window came to nothing$/)
  expect(flight(2, null)).toMatch(/; what came to nothing is not known$/)
})

it('a prompt takes until the first token, whatever is given again later', () => {
  const traces = new Traces({ count: () => undefined, observe: () => undefined })
  const hops = [{ peer: 'a', from: 0, to: 1, clock_ms: 0 }]
  const steps = [step('prefill', 0, 0), step('decode', 1, 0), { ...step('prefill', 0, 0), begin_ms: 900, attempt: 1 }]
  traces.add(FACTS, { began: 0, hops, steps, dropped: 0, void: null })
  expect(traces.get('r1').prefill).toEqual({ steps: 1, rows: 1, total_ms: 4 })
})
