/** What answers under way say of the peers that they go over, and how much a model is used. */
import { beforeEach, describe, expect, it } from 'vitest'
import { watchAnswer } from '../../src/peer/answer-watch.ts'
import type { PartsWatch } from '../../src/peer/answer-watch.ts'
import { SeenPeers } from '../../src/peer/profile-seen.ts'
import { UseMeter } from '../../src/peer/use-meter.ts'
import type { GenerateEvent, RouteHop } from '../../src/pipeline/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const ROUTE: RouteHop[] = [
  { peer: 'self', pid: 1, from: 0, to: 1 },
  { peer: 'b', pid: 2, from: 1, to: 5 },
  { peer: 'self', pid: 1, from: 5, to: 6 },
]

let clock: VirtualClock
let claimed: number
let changes: number
let seen: SeenPeers

beforeEach(() => {
  clock = virtualClock()
  claimed = 10
  changes = 0
  seen = new SeenPeers({
    self: 'self',
    clock,
    own: () => ({ block: null, head: 2 }),
    claimed: () => claimed,
    rtt: () => 0,
    changed: () => void changes++,
  })
})

const step = (blockMs: number): number => 2 + 1 + 4 * blockMs
const part = (stepMs: number, manner: 'part' | 'probe' = 'part', route: RouteHop[] = ROUTE): void =>
  seen.answered({ digest: 'd', route, first: 1, last: 5, stepMs, manner })
const judged = (): number | null => seen.judge('b', 'd', claimed)

describe('a part of an answer', () => {
  it('counts when it is striking twice in a row, and is told at once', () => {
    part(step(50))
    expect(judged()).toBe(10)
    part(step(12))
    part(step(50))
    expect(judged()).toBe(10)
    part(step(60))
    expect(judged()).toBeCloseTo(60)
    expect(seen.told()).toEqual([{ peer: 'b', digest: 'd', block_ms: 60 }])
    expect(changes).toBe(1)
  })

  it('shows as well that a peer is quick again', () => {
    for (let count = 0; count < 2; count++) part(step(60))
    part(step(9))
    expect(judged()).toBeCloseTo(60)
    part(step(9))
    // As it says of itself, within what that may be off.
    expect(judged()).toBe(10)
    expect(seen.told()).toEqual([])
    expect(changes).toBe(2)
  })

  it('says nothing of routes over several others, where nobody knows who it was', () => {
    const [first, second, third] = ROUTE
    const route = [first!, { ...second!, to: 3 }, { peer: 'c', pid: 3, from: 3, to: 5 }, third!]
    for (let count = 0; count < 4; count++) part(step(60), 'part', route)
    expect(seen.told()).toEqual([])
  })

  it('that was a probe counts once', () => {
    for (let count = 0; count < 2; count++) part(step(60))
    part(step(20), 'probe')
    expect(judged()).toBeCloseTo(20)
  })
})

/** Tokens after so many milliseconds each; the reader takes its time between them. */
async function partsOf(waits: readonly number[], reader = 0, alone = true): Promise<number[]> {
  const parts: number[] = []
  const used: number[] = []
  async function* events(): AsyncGenerator<GenerateEvent> {
    yield { type: 'start', prompt_ids: [1], route: ROUTE }
    for (const wait of waits) {
      await clock.advance(Math.max(0, wait - reader))
      yield { type: 'token', id: 1, text: 'a' }
    }
  }
  const watched = watchAnswer(events(), () => undefined, {
    clock,
    alone: () => alone,
    part: (route, stepMs) => {
      expect(route).toEqual(ROUTE)
      parts.push(stepMs)
    },
    used: (tokens) => void used.push(tokens),
  })
  for await (const event of watched) if (event.type === 'token') await clock.advance(reader)
  return parts
}

describe('the steps of an answer under way', () => {
  it('are told by eight of them and a second at least', async () => {
    expect(await partsOf(Array(9).fill(200))).toEqual([200])
    expect(await partsOf(Array(101).fill(10))).toEqual([10])
    // It runs and stands still by turns: what counts is how many come in a second.
    const turns = Array.from({ length: 25 }, (_, index) => (index % 5 === 0 ? 400 : 0))
    expect(await partsOf(turns)).toEqual([80])
  })

  it('are not told where the reader is slow, or another answer shares the stages', async () => {
    expect(await partsOf(Array(20).fill(200), 150)).toEqual([])
    expect(await partsOf(Array(20).fill(200), 10)).toHaveLength(2)
    expect(await partsOf(Array(20).fill(200), 0, false)).toEqual([])
  })
})

it('use is told in powers of two, and fades', async () => {
  const meter = new UseMeter(clock)
  meter.used('d', 100)
  expect(meter.told()).toEqual([])
  meter.used('d', 2_000)
  expect(meter.told()).toEqual([{ digest: 'd', tokens_per_minute: 256 }])
  await clock.advance(300_000)
  expect(meter.told()).toEqual([{ digest: 'd', tokens_per_minute: 128 }])
  await clock.advance(600_000)
  expect(meter.told()).toEqual([])
})

it('use is told with what a step gives where guesses come true, and without where none do', async () => {
  const meter = new UseMeter(clock)
  async function* events(tokens: number, counters: Readonly<Record<string, number>>): AsyncGenerator<GenerateEvent> {
    yield { type: 'start', prompt_ids: [1], route: ROUTE }
    const stats = { counters, decode_tokens: tokens, ms_per_token_p50: 0 }
    yield { type: 'end', ids: Array(tokens).fill(1), stats } as unknown as GenerateEvent
  }
  const answered = async (tokens: number, counters: Readonly<Record<string, number>>): Promise<void> => {
    const used: PartsWatch['used'] = (count, steps) => meter.used('d', count, steps)
    const watched = watchAnswer(events(tokens, counters), () => undefined, {
      clock,
      alone: () => true,
      part: () => undefined,
      used,
    })
    for await (const event of watched) void event
  }
  await answered(500, {})
  expect(meter.told()).toEqual([{ digest: 'd', tokens_per_minute: 64 }])
  // A thousand tokens in 400 steps, each with two guesses: with the ones before, 1,500 in 900 of 1,700 rows.
  await answered(1_000, { draft_accepted: 600, draft_tokens: 800 })
  expect(meter.told()).toEqual([{ digest: 'd', tokens_per_minute: 256, step_tokens: 1.7, step_rows: 1.9 }])
})
