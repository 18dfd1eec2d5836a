/** Who may tell an origin of its session's times: each hop for itself, once, and only when it was asked. */
import { beforeEach, expect, it } from 'vitest'
import { DTYPE, encodeControl, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { encodeSpans } from '../../../src/pipeline/ring/spans.ts'
import { TraceAnswers } from '../../../src/pipeline/ring/trace-answers.ts'
import { handClock } from '../support/hand-clock.ts'

const SPAN = { attempt: 0, step: 0, position: 0, rows: 1, came: 5, stayed: 9, computed: 4, waited: 1 }

let clock: ReturnType<typeof handClock>
let answers: TraceAnswers

const told = (hop: number, more: Partial<Frame> = {}, payload = encodeSpans([SPAN])): Frame =>
  frame({
    type: RING.traced,
    request: 7,
    attempt: 1,
    hop,
    control: encodeControl({ now: 1_000, dropped: 2 }),
    dtype: DTYPE.bytes,
    dims: [payload.length],
    payload,
    ...more,
  })

beforeEach(() => {
  clock = handClock()
  answers = new TraceAnswers(clock, 'SELF')
})

it('each hop is heard once, of its own place', async () => {
  const all = answers.expect(7, 1, ['SELF', 'B', 'SELF'])
  expect(answers.receive('B', told(0))).toBe(false)
  expect(answers.receive('SELF', told(0))).toBe(true)
  expect(answers.receive('SELF', told(0))).toBe(false)
  expect(answers.receive('B', told(1, { attempt: 0 }))).toBe(false)
  expect(answers.receive('B', told(1, { request: 8 }))).toBe(false)
  expect(answers.receive('B', told(1, {}, new Uint8Array(31)))).toBe(false)
  clock.advance(40)
  expect(answers.receive('B', told(1))).toBe(true)
  expect(answers.receive('SELF', told(2))).toBe(true)
  const [first, second, third] = await all
  expect(first).toMatchObject({ spans: [SPAN], ahead: 0, uncertain: 0, dropped: 2 })
  expect(second!.uncertain).toBe(20)
  expect(third).toMatchObject({ ahead: 0, uncertain: 0 })
  expect(answers.receive('B', told(1))).toBe(false)
})

it('who does not answer is not waited for for ever', async () => {
  const all = answers.expect(7, 1, ['SELF', 'B'])
  expect(answers.receive('SELF', told(0))).toBe(true)
  clock.advance(2_000)
  expect(await all).toMatchObject([{ dropped: 2 }, undefined])
  expect(answers.receive('B', told(1))).toBe(false)
})
