/** What a hop notes of each step: bounded, matched to what comes out, and refused where it is none of ours. */
import { expect, it } from 'vitest'
import { frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { decodeSpans, encodeSpans, FIRST_SPANS, LAST_SPANS, Spans } from '../../../src/pipeline/ring/spans.ts'

const rows = (step: number, more: Partial<Frame> = {}): Frame =>
  frame({ type: 35, step, position: 10 + step, rows: 1, ...more })

it('a step stayed, was computed, waited: in microseconds, its own share alone', () => {
  const spans = new Spans()
  spans.came(rows(0, { micros: 500, waited: 40 }), 1_000)
  spans.went(rows(0, { micros: 2_500, waited: 340 }), 1_004)
  expect(spans.all()).toEqual([
    { attempt: 0, step: 0, position: 10, rows: 1, came: 1_000, stayed: 4_000, computed: 2_000, waited: 300 },
  ])
})

it('what a host says of its times is no more than the time that it had', () => {
  const spans = new Spans()
  spans.came(rows(0), 0)
  spans.went(rows(0, { micros: 9_000, waited: 9_000 }), 1)
  spans.came(rows(1, { micros: 100, waited: 100 }), 2)
  spans.went(rows(1, { micros: 0, waited: 0 }), 3)
  expect(spans.all()).toMatchObject([
    { stayed: 1_000, computed: 1_000, waited: 0 },
    { stayed: 1_000, computed: 0, waited: 0 },
  ])
})

it('rows that came to nothing are passed over, and what never came is none', () => {
  const spans = new Spans()
  for (const step of [0, 1, 2]) spans.came(rows(step), step)
  spans.went(rows(2), 5)
  spans.went(rows(1), 6)
  spans.went(rows(7), 7)
  spans.came(rows(0, { attempt: 1 }), 8)
  spans.went(rows(0), 9)
  spans.went(rows(0, { attempt: 1 }), 10)
  expect(spans.all().map(({ attempt, step }) => [attempt, step])).toEqual([
    [0, 2],
    [1, 0],
  ])
})

it('the first and the last are kept, in order, and what is between is counted', () => {
  const spans = new Spans()
  const count = FIRST_SPANS + 2 * LAST_SPANS + 7
  for (let step = 0; step < count; step++) {
    spans.came(rows(step), step)
    spans.went(rows(step), step + 0.5)
  }
  const kept = spans.all().map(({ step }) => step)
  expect(kept.slice(0, FIRST_SPANS)).toEqual(Array.from({ length: FIRST_SPANS }, (_, step) => step))
  expect(kept.slice(FIRST_SPANS)).toEqual(Array.from({ length: LAST_SPANS }, (_, at) => count - LAST_SPANS + at))
  expect(spans.dropped).toBe(LAST_SPANS + 7)
})

it('rows that are given without end are not all remembered', () => {
  const spans = new Spans()
  for (let step = 0; step < 10_000; step++) spans.came(rows(step), 0)
  spans.went(rows(0), 1)
  spans.went(rows(9_999), 1)
  expect(spans.all().map(({ step }) => step)).toEqual([9_999])
})

it('bytes are spans again, and bytes that cannot be are refused', () => {
  const spans = new Spans()
  for (const step of [0, 1, 2]) spans.came(rows(step), step + 0.125)
  for (const step of [0, 1, 2]) spans.went(rows(step, { micros: 7 }), step + 2)
  const bytes = encodeSpans(spans.all())
  expect(decodeSpans(bytes)).toEqual(spans.all())
  expect(decodeSpans(new Uint8Array(0))).toEqual([])
  expect(decodeSpans(bytes.subarray(1))).toBeUndefined()
  expect(decodeSpans(new Uint8Array(32 * (FIRST_SPANS + LAST_SPANS + 1)))).toBeUndefined()
  const never = bytes.slice()
  new DataView(never.buffer).setFloat64(8, Number.NaN, true)
  expect(decodeSpans(never)).toBeUndefined()
  const more = bytes.slice()
  new DataView(more.buffer).setUint32(20, 2 ** 31, true)
  expect(decodeSpans(more)).toBeUndefined()
})
