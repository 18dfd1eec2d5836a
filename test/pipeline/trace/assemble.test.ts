/** Parts of steps out of clocks that nobody has set: they add up to all of the time, and none is below nothing. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { assembleTrace, summarizeTrace } from '../../../src/pipeline/origin/trace.ts'
import type { SessionTrace, TraceInit } from '../../../src/pipeline/origin/trace.ts'
import type { HopTrace } from '../../../src/pipeline/ring/trace-answers.ts'
import type { Span } from '../../../src/pipeline/ring/spans.ts'

const PROMPT = 4
const STEPS = 12

interface Link {
  readonly wire: number
  readonly stayed: number
}

/** What each peer would note of steps over hops whose clocks are off, and are taken to be off by something else. */
function lab(links: readonly Link[][], clocks: readonly { readonly off: number; readonly error: number }[]): TraceInit {
  const own: Span[] = []
  const spans: Span[][] = clocks.map(() => [])
  let now = 100
  for (const [step, hops] of links.entries()) {
    const base = { attempt: 0, step, position: step === 0 ? 0 : PROMPT + step - 1, rows: step === 0 ? PROMPT : 1 }
    const came = now
    for (const [place, { off }] of clocks.entries()) {
      const { wire, stayed } = hops[place]!
      now += wire
      const micros = Math.round(stayed * 1000)
      const half = micros >> 1
      spans[place]!.push({ ...base, came: now + off, stayed: micros, computed: half, waited: (micros - half) >> 1 })
      now += stayed
    }
    now += hops.at(-1)!.wire
    own.push({ ...base, came, stayed: Math.round((now - came) * 1000), computed: 0, waited: 0 })
    now += 0.25
  }
  const hops = clocks.map(({ off, error }, place): HopTrace => ({
    spans: spans[place]!,
    dropped: 0,
    ahead: off + error,
    uncertain: Math.abs(error) + 0.01,
  }))
  return {
    prompt: PROMPT,
    route: clocks.map((_, from) => ({ peer: `p${from}`, from, to: from + 1 })),
    own,
    dropped: 0,
    hops,
  }
}

const time = fc.integer({ min: 0, max: 40_000 }).map((micros) => micros / 1000)
const labs = fc.integer({ min: 1, max: 4 }).chain((count) =>
  fc.record({
    links: fc.array(fc.array(fc.record({ wire: time, stayed: time }), { minLength: count + 1, maxLength: count + 1 }), {
      minLength: STEPS,
      maxLength: STEPS,
    }),
    clocks: fc.array(
      fc.record({
        off: fc.integer({ min: -1_000_000, max: 1_000_000 }),
        error: fc.integer({ min: -60, max: 60 }),
      }),
      { minLength: count, maxLength: count },
    ),
  }),
)

it('whatever the clocks and however badly they were asked, a step is explained to the last microsecond or so', () => {
  fc.assert(
    fc.property(labs, ({ links, clocks }) => {
      const trace = assembleTrace(lab(links, clocks))
      for (const step of trace.steps) {
        const parts = step.hops.flatMap((hop) => [hop!.wire_ms, hop!.queue_ms, hop!.compute_ms, hop!.serialize_ms])
        const sum = parts.reduce((all, part) => all + part, step.origin_ms + step.back_ms)
        for (const part of parts) expect(part).toBeGreaterThanOrEqual(0)
        expect(Math.abs(sum - step.total_ms)).toBeLessThan(0.02)
      }
      expect(summarizeTrace(trace)!.explained).toBeCloseTo(1, 1)
    }),
  )
})

it('clocks that were asked well give each way its own time', () => {
  const links = Array.from({ length: STEPS }, (_, step) => [
    { wire: 2 + step, stayed: 10 },
    { wire: 30, stayed: 5 },
    { wire: 1, stayed: 0 },
  ])
  const clocks = [
    { off: 5_000, error: 0 },
    { off: -70_000, error: 0 },
  ]
  const { steps, hops } = assembleTrace(lab(links, clocks))
  expect(steps[0]).toMatchObject({ phase: 'prefill', begin_ms: 0, rows: PROMPT, position: 0 })
  expect(steps[3]!.phase).toBe('decode')
  expect(steps[3]!.origin_ms).toBeCloseTo(0.25, 3)
  expect(steps[3]!.hops.map((hop) => Math.round(hop!.wire_ms))).toEqual([5, 30])
  expect(steps[3]!.hops.map((hop) => hop!.compute_ms)).toEqual([5, 2.5])
  expect(steps[3]!.back_ms).toBeCloseTo(1, 3)
  expect(hops[1]!.clock_ms).toBeGreaterThan(0)
})

it('a stage that tells nothing leaves a gap, and no summary is made of it', () => {
  const links = Array.from({ length: STEPS }, () => [
    { wire: 1, stayed: 1 },
    { wire: 1, stayed: 1 },
    { wire: 1, stayed: 0 },
  ])
  const init = lab(links, [
    { off: 0, error: 0 },
    { off: 0, error: 0 },
  ])
  const trace = assembleTrace({ ...init, hops: [init.hops[0], undefined] })
  expect(trace.hops.map(({ clock_ms: clock }) => clock === null)).toEqual([false, true])
  expect(trace.steps.every(({ hops }) => hops[0] !== null && hops[1] === null)).toBe(true)
  expect(summarizeTrace(trace)).toBeNull()
})

it('windows in flight share the time in which they are under way, and those that nobody answered came to nothing', () => {
  const init = lab(
    Array.from({ length: 4 }, () => [
      { wire: 10, stayed: 8 },
      { wire: 10, stayed: 0 },
    ]),
    [{ off: 0, error: 0 }],
  )
  const [prompt, first, second, third] = init.own
  // The second and the third window go while the first is under way; the third is never answered.
  const moved = { ...second!, came: first!.came + 4, stayed: first!.stayed + 4_000 }
  const trace = assembleTrace({ ...init, own: [prompt!, first!, moved] })
  expect(trace.steps.map(({ behind }) => behind)).toEqual([0, 0, 1])
  expect(trace.void).toEqual({ steps: 1, rows: third!.rows })
  const summary = summarizeTrace(trace)!
  expect(summary.in_flight).toEqual({ mean: 1.5, most: 2 })
  const computed = trace.steps.slice(1).reduce((sum, { hops }) => sum + hops[0]!.compute_ms, 0)
  const wall = (first!.stayed + 8_000) / 1000 + trace.steps[1]!.origin_ms
  expect(summary.bubbles[0]).toBeCloseTo(1 - computed / wall, 3)
})

it('what came to nothing is not known where steps were not kept, or the first stage has not told of all', () => {
  const init = lab(
    Array.from({ length: 3 }, () => [
      { wire: 10, stayed: 8 },
      { wire: 10, stayed: 0 },
    ]),
    [{ off: 0, error: 0 }],
  )
  const [hop] = init.hops
  const voids = (more: Partial<TraceInit>): SessionTrace['void'] => assembleTrace({ ...init, ...more }).void
  expect(voids({})).toEqual({ steps: 0, rows: 0 })
  expect(voids({ dropped: 1 })).toBeNull()
  expect(voids({ hops: [undefined] })).toBeNull()
  expect(voids({ hops: [{ ...hop!, dropped: 1 }] })).toBeNull()
  // It took the place of one that was lost.
  expect(voids({ hops: [{ ...hop!, spans: hop!.spans.slice(1) }] })).toBeNull()
})
