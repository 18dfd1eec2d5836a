/** A small model beside an answer, in time that is moved by hand: what it gains, what it may cost, and what it does with wrong guesses. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { Speculation } from '../../../src/pipeline/origin/speculation/speculation.ts'
import { draftHost } from '../support/draft-host.ts'
import { handClock } from '../support/hand-clock.ts'

const PROMPT = [1, 2, 3, 4, 5]
/** A head that takes one window at a time. */
const SAID = { busyMs: 0, chains: false }
/** No two places of the text are alike, so nothing is looked up in it. */
const truth = (position: number): number => PROMPT[position] ?? 1_000 + position
interface World {
  /** Milliseconds of a step, of a row more, and of a guess. */
  readonly step: number
  readonly row: number
  readonly guess: number
  /** That a guess is right. */
  readonly share: number
  /** Milliseconds that a step takes longer while the small model computes. */
  readonly beside?: number
  readonly tokens?: number
  readonly mode?: 'auto' | 'draft'
}

/** An answer over stages that take as long as they are said to. Returns milliseconds, and what was counted. */
async function answered(world: World) {
  const { step, row, beside = 0, tokens = 400, mode = 'auto' } = world
  const clock = handClock()
  const host = draftHost(clock, world, truth)
  const counters: Record<string, number> = {}
  const speculation = new Speculation({
    clock,
    prompt: PROMPT,
    follow: { start: PROMPT.length, limit: tokens, endTokens: new Set() },
    mode,
    draft: {
      model: { blocks: 4, context: 10_000, vocabulary: 2_000_000, open: host.open },
      sampler: { sampling: GREEDY, logprobs: -1, history: [] },
    },
    count: (name, by) => (counters[name] = (counters[name] ?? 0) + by),
  })
  let position = PROMPT.length
  speculation.came(position - 1, [truth(position)], SAID)
  while (position < PROMPT.length + tokens - 1) {
    const next = speculation.next(position)
    const waiting = next instanceof Promise ? next : Promise.resolve(next)
    const settled: (readonly number[])[] = []
    void waiting.then((ids) => settled.push(ids ?? []))
    await setImmediate()
    while (settled.length === 0) {
      clock.advance(0.25)
      await setImmediate()
    }
    const guesses = settled[0]!
    clock.advance(step + row * guesses.length + (host.isBusy() ? beside : 0))
    const wrong = guesses.findIndex((id, at) => id !== truth(position + 1 + at))
    const right = wrong < 0 ? guesses.length : wrong
    const ids = Array.from({ length: right + 1 }, (_, at) => truth(position + 1 + at))
    speculation.came(position, ids, SAID)
    position += ids.length
  }
  speculation.close()
  return { ms: clock.now(), plain: step * (tokens - 1), counters, seen: host.seen }
}

describe('a small model beside an answer', () => {
  it('makes it as much faster as its guesses are right, the more the longer the links', async () => {
    const far = await answered({ step: 50, row: 1, guess: 3, share: 0.9 })
    expect(far.ms).toBeLessThan(far.plain * 0.35)
    const near = await answered({ step: 8, row: 1, guess: 2, share: 0.8 })
    expect(near.ms).toBeLessThan(near.plain * 0.75)
    const { counters } = far
    expect(counters['draft_model_accepted']).toBeGreaterThan(200)
    expect(counters['draft_accepted']).toBe(counters['draft_model_accepted'])
    expect(counters['draft_off'] ?? 0).toBe(0)
  })

  it.each([
    ['beside a machine that has nothing else to do', { step: 10, row: 8, guess: 5, share: 0 }],
    ['where it takes from the stages', { step: 10, row: 8, guess: 5, share: 0, beside: 6 }],
    ['over long links', { step: 60, row: 1, guess: 4, share: 0.02 }],
    ['where rows cost nothing', { step: 10, row: 0, guess: 1, share: 0, beside: 1 }],
  ])('costs at most 3 % and two steps when it guesses badly: %s', async (_, world) => {
    const { ms, plain, counters } = await answered({ ...world, tokens: 2_000 })
    const trial = 15 * (world.row + world.guess)
    expect(ms).toBeLessThan(plain * 1.03 + 2 * world.step + trial)
    expect(counters['draft_model_tokens'] ?? 0).toBeLessThan(150)
    // It did try; and where it is told to, it goes on.
    const forced = await answered({ ...world, mode: 'draft', tokens: 500 })
    expect(forced.counters['draft_model_tokens']).toBeGreaterThan(250)
  })

  it('gains, or costs next to nothing, whatever links, luck and machine are', async () => {
    for (const step of [8, 20, 65])
      for (const share of [0, 0.3, 0.6, 0.9])
        for (const guess of [1, 4, 12])
          for (const beside of [0, 2]) {
            const world = { step, row: 1, guess, share, beside, tokens: 300 }
            const { ms, plain } = await answered(world)
            expect({ ...world, isSlow: ms > plain * 1.03 + 2 * step }).toEqual({ ...world, isSlow: false })
          }
  })

  it('costs no more where it is slower than the stages, and nothing of it is of use', async () => {
    const world = { step: 5, row: 2, guess: 40, share: 0.9, beside: 3, tokens: 2_000 }
    const { ms, plain, counters } = await answered(world)
    expect(ms).toBeLessThan(plain * 1.03 + 2 * world.step)
    expect(counters['draft_off']).toBeGreaterThan(0)
  })

  it('stops where it takes from the stages, and says so', async () => {
    const { counters } = await answered({ step: 10, row: 8, guess: 5, share: 0, beside: 6 })
    expect(counters['draft_off']).toBeGreaterThan(0)
  })

  it('goes back by a smaller position, gives no row twice, and closes its session at the end', async () => {
    const { seen } = await answered({ step: 40, row: 1, guess: 3, share: 0.7 })
    const runs = seen.filter(({ type }) => type === HOST.run)
    const rewinds = runs.filter(({ flags }) => (flags & RUN.rewind) !== 0)
    expect(rewinds.length).toBeGreaterThan(10)
    let [end, again] = [0, 0]
    for (const { position, dims } of runs) {
      if (position < end) again++
      end = position + dims[0]!
    }
    expect(again).toBe(rewinds.length)
    expect(seen[0]!.type).toBe(HOST.open)
    expect(seen.at(-1)!.type).toBe(HOST.close)
  })
})
