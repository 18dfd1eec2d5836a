/** Rows that take the place of others, at a hop: what comes in, what is kept, and what the next hop gets. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { DTYPE, encodeControl, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import { RowDigest } from '../../../src/pipeline/ring/digest.ts'
import type { Hop } from '../../../src/pipeline/ring/hop.ts'
import { passOn, resume } from '../../../src/pipeline/ring/onward.ts'
import type { OnwardNeeds } from '../../../src/pipeline/ring/onward.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { takeRows } from '../../../src/pipeline/ring/take-rows.ts'
import { middleHop, ORIGIN } from '../support/middle-hop.ts'

const WIDTH = 4

/** Rows whose bytes say which they are. */
const rowsOf = (position: number, rows: number, mark: number): Partial<Frame> => ({
  position,
  rows,
  dtype: DTYPE.f16,
  dims: [rows, WIDTH],
  payload: new Uint8Array(rows * WIDTH * 2).fill(mark),
})

/** What a neighbour sends, by its running digest. */
function sender() {
  const digest = new RowDigest()
  return (position: number, rows: number, mark: number, flags = 0): Frame => {
    const content = rowsOf(position, rows, mark)
    return frame({ ...content, type: RING.rows, flags, digest: digest.next(content.payload!) })
  }
}

/** What is sent to the next hop. */
function watched() {
  const sent: Frame[] = []
  const broken: unknown[] = []
  const needs: OnwardNeeds = {
    send: (_peer, message) => Promise.resolve(void sent.push(message)),
    sayAgain: () => undefined,
    failed: (_hop, error) => void broken.push(error),
    broken: (_hop, _peer, error) => void broken.push(error),
  }
  const computed = (hop: Hop, position: number, rows: number, mark: number, more: Partial<Frame> = {}): void =>
    passOn(needs, hop, 'c', frame({ ...rowsOf(position, rows, mark), type: HOST.rows, ...more }))
  return { sent, broken, needs, computed }
}

describe('rows that come in', () => {
  it('go back where they are told to, and the host is told so', () => {
    const [hop, next] = [middleHop(), sender()]
    takeRows(hop, ORIGIN, next(0, 4, 1))
    takeRows(hop, ORIGIN, next(4, 6, 2, RUN.token))
    const run = takeRows(hop, ORIGIN, next(6, 1, 3, RUN.token | RUN.rewind)) as Frame
    expect(run.flags & RUN.rewind).toBe(RUN.rewind)
    expect(hop.taken).toBe(7)
    expect((takeRows(hop, ORIGIN, next(7, 1, 4)) as Frame).flags & RUN.rewind).toBe(0)
  })

  it('do not when they only come once more', () => {
    const [hop, next] = [middleHop(), sender()]
    const first = next(0, 4, 1, RUN.rewind)
    takeRows(hop, ORIGIN, first)
    takeRows(hop, ORIGIN, next(4, 2, 2))
    expect(takeRows(hop, ORIGIN, first)).toBe('repeated')
    expect(takeRows(hop, ORIGIN, next(6, 1, 3))).toBeTypeOf('object')
    expect(hop.taken).toBe(7)
  })

  it('without being told to are out of turn', () => {
    const [hop, next] = [middleHop(), sender()]
    takeRows(hop, ORIGIN, next(0, 4, 1))
    expect(takeRows(hop, ORIGIN, next(3, 4, 2))).toBe('rows do not continue the session')
    expect(takeRows(hop, ORIGIN, next(4, 1, 2))).toBeUndefined()
  })

  it('with an infinity of guesses are passed on without them', () => {
    const [hop, next] = [middleHop(), sender()]
    const control = encodeControl({ guesses: new Uint8Array(10_000) })
    expect((takeRows(hop, ORIGIN, { ...next(0, 1, 1), control }) as Frame).control.length).toBe(0)
  })
})

describe('rows that go on', () => {
  it('take the place of those that never were, with the guesses that came with them', () => {
    const hop = middleHop()
    const { sent, computed } = watched()
    const control = new Uint8Array([1, 2, 3])
    computed(hop, 0, 4, 1)
    computed(hop, 4, 6, 2, { control, flags: RUN.token })
    computed(hop, 6, 2, 3, { flags: RUN.rewind })
    expect(hop.kept.end).toBe(8)
    expect([...hop.kept.peek(5, 3)!].filter((_, at) => at % (2 * WIDTH) === 0)).toEqual([2, 3, 3])
    expect(sent.map(({ position, rows }) => [position, rows])).toEqual([
      [0, 4],
      [4, 6],
      [6, 2],
    ])
    expect(sent.map((message) => message.control.length)).toEqual([0, 3, 0])
    expect(sent.map(({ flags }) => flags & RUN.rewind)).toEqual([RUN.rewind, 0, RUN.rewind])
  })

  it('of guesses that nobody answered are not sent over another route, nor what is still computed of them', async () => {
    const hop = middleHop()
    const { sent, needs, computed } = watched()
    computed(hop, 0, 4, 1)
    computed(hop, 4, 3, 2, { control: new Uint8Array([1]), flags: RUN.token })
    hop.reroute(ORIGIN, 1, 1, hop.route)
    // Row 4 is sure, what follows it was guessed; the host has not come to the last of it yet.
    computed(hop, 7, 2, 2, { flags: RUN.rewind, position: 7 })
    const control = encodeControl({ from: 2, tokensFrom: 5, keep: 5 })
    await resume(needs, hop, frame({ type: RING.resume, control }))
    computed(hop, 9, 1, 2)
    const again = sent.slice(2)
    expect(again.map(({ position, rows, attempt }) => [position, rows, attempt])).toEqual([[2, 3, 1]])
    expect(again[0]!.flags & RUN.rewind).toBe(RUN.rewind)
    computed(hop, 5, 1, 9, { attempt: 1, flags: RUN.rewind | RUN.token })
    expect(sent.slice(3).map(({ position, rows }) => [position, rows])).toEqual([[5, 1]])
    expect(hop.kept.end).toBe(6)
  })

  it('that came before the hop was told to go on stay, also where they took the place of others', async () => {
    const hop = middleHop()
    const { sent, needs, computed } = watched()
    computed(hop, 0, 8, 1)
    hop.reroute(ORIGIN, 1, 1, hop.route)
    computed(hop, 5, 1, 9, { attempt: 1, flags: RUN.rewind | RUN.token })
    const control = encodeControl({ from: 5, tokensFrom: 5, keep: 5 })
    await resume(needs, hop, frame({ type: RING.resume, control }))
    await setImmediate()
    expect(sent.slice(1).map(({ position, rows, flags }) => [position, rows, flags & RUN.token])).toEqual([[5, 1, 1]])
    expect(sent.at(-1)!.payload[0]).toBe(9)
  })

  it('with guesses that come before the route stands break it off: the origin begins again', () => {
    const hop = middleHop()
    const { broken, computed } = watched()
    computed(hop, 0, 4, 1)
    hop.reroute(ORIGIN, 1, 1, hop.route)
    computed(hop, 4, 3, 2, { attempt: 1, control: new Uint8Array([1]), flags: RUN.token })
    expect(broken).toHaveLength(1)
  })

  it('are asked for again by the origin where there were guesses: a head says its last answer again only without', async () => {
    for (const [keep, times] of [
      [undefined, 1],
      [7, 0],
    ] as const) {
      const hop = middleHop()
      hop.reroute(ORIGIN, 1, 1, hop.route.slice(0, 2))
      let said = 0
      const needs = { ...watched().needs, sayAgain: () => void said++ }
      const control = encodeControl({ from: 0, tokensFrom: 7, ...(keep !== undefined && { keep }) })
      await resume(needs, hop, frame({ type: RING.resume, control }))
      expect(said).toBe(times)
      expect(hop.paused).toBe(false)
    }
  })
})
