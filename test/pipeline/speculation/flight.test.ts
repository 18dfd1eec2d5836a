/** Windows in flight, in time that is moved by hand: what they gain over long links, what they may cost, and where they stay one. */
import { describe, expect, it } from 'vitest'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { Speculation } from '../../../src/pipeline/origin/speculation/speculation.ts'
import { draftHost } from '../support/draft-host.ts'
import type { Luck } from '../support/draft-host.ts'
import { handClock } from '../support/hand-clock.ts'
import { answered, stageWorld } from '../support/stage-world.ts'
import type { StageWorld } from '../support/stage-world.ts'

const SOURCE = 300
/** The same places each time. */
const chance = (position: number): number => ((Math.imul(position, 0x9e3779b1) >>> 8) % 10_000) / 10_000

interface Case extends StageWorld {
  /** Of the tokens, those that are not copied. 1: nothing is looked up. */
  readonly edits: number
  readonly draft?: Luck
  readonly tokens?: number
}

/** A text that is copied out of its prompt again and again, with edits. */
async function written(world: Case) {
  const { edits, draft, tokens = 600 } = world
  const clock = handClock()
  const prompt = Array.from({ length: SOURCE }, (_, at) => 1000 + at)
  const truth = (position: number): number =>
    position >= SOURCE && chance(position) < edits ? 100_000 + position : 1000 + (position % SOURCE)
  const counters: Record<string, number> = {}
  const stages = stageWorld(clock, world, truth)
  const host = draft && draftHost(clock, draft, truth)
  const speculation = new Speculation({
    clock,
    prompt,
    follow: { start: SOURCE, limit: tokens, endTokens: new Set() },
    mode: 'auto',
    more: () => stages.more(),
    ...(host && {
      draft: {
        model: { blocks: 4, context: 10_000, vocabulary: 2_000_000, open: host.open },
        sampler: { sampling: GREEDY, logprobs: -1, history: [] },
      },
    }),
    count: (name, by) => (counters[name] = (counters[name] ?? 0) + by),
  })
  speculation.came(SOURCE - 1, [truth(SOURCE)], { busyMs: 0, chains: false })
  const ms = await answered(clock, stages, speculation, SOURCE, tokens)
  const step = (world.stages + 1) * world.link + world.stages * world.run
  return { ms, step, plain: (tokens - 1) * step, count: (name: string) => counters[name] ?? 0, rows: stages.computed() }
}

const [NEAR, FAR] = [3, 16]
const STAGES = { stages: 3, run: 3, row: 0.2 }

describe('windows in flight', () => {
  it('make a text that is copied as much faster as the links are long', async () => {
    for (const [link, gain] of [
      [NEAR, 1.5],
      [FAR, 2.5],
    ] as const) {
      const one = await written({ ...STAGES, link, edits: 0, chains: false })
      const all = await written({ ...STAGES, link, edits: 0 })
      expect(one.ms / all.ms).toBeGreaterThan(gain)
      expect(all.count('draft_windows_ahead')).toBeGreaterThan(all.count('draft_windows') / 2)
      expect(all.count('draft_accepted')).toBeGreaterThan(500)
      expect(one.count('draft_windows_ahead')).toBe(0)
    }
  })

  it('waste what follows a wrong guess, and gain all the same', async () => {
    const world = { ...STAGES, link: FAR, edits: 0.02 }
    const [one, all] = [await written({ ...world, chains: false }), await written(world)]
    expect(one.ms / all.ms).toBeGreaterThan(1.3)
    expect(all.count('draft_windows_void')).toBeGreaterThan(0)
    expect(all.rows).toBeLessThan(2 * one.rows)
  })

  it('are not sent where stages and origin share a machine, nor where guesses are hardly right', async () => {
    const near = await written({ ...STAGES, link: 0, isShared: true, edits: 0 })
    expect(near.count('draft_windows')).toBeGreaterThan(10)
    expect(near.count('draft_windows_ahead')).toBe(0)
    const poor = await written({ ...STAGES, link: FAR, edits: 0.3 })
    expect(poor.count('draft_windows')).toBeGreaterThan(10)
    expect(poor.count('draft_windows_ahead')).toBeLessThan(5)
  })

  it('go one at a time for a while, and are counted, where rows of a window come to take longer than they did', async () => {
    const world = { ...STAGES, link: NEAR, edits: 0 }
    const even = await written(world)
    expect(even.count('draft_narrowed')).toBe(0)
    const slower = await written({ ...world, slower: { from: SOURCE + 300, times: 20 } })
    expect(slower.count('draft_narrowed')).toBe(1)
    expect(slower.count('draft_windows_ahead')).toBeGreaterThan(10)
    expect(slower.count('draft_windows_ahead')).toBeLessThan(even.count('draft_windows_ahead'))
    expect(slower.ms).toBeLessThan(slower.plain)
  })

  it('never cost more than one at a time, nor than none, whatever links, rows and luck are', async () => {
    for (const link of [0, NEAR, FAR])
      for (const row of [0.05, 0.8, 3])
        for (const isShared of [false, true])
          for (const edits of [0, 0.01, 0.05, 0.2, 1]) {
            const world = { stages: 3, run: 3, link, row, isShared, edits, tokens: 400 }
            const [one, all] = [await written({ ...world, chains: false }), await written(world)]
            const most = 2 * all.step + 15 * 3 * row
            const isSlow = all.ms > one.ms * 1.03 + most || all.ms > all.plain * 1.03 + most
            expect({ ...world, isSlow }).toEqual({ ...world, isSlow: false })
          }
  })

  it('follow each other as a small model guesses, which nothing waits for then', async () => {
    const world = { ...STAGES, link: FAR, edits: 1, draft: { guess: 3, share: 0.97 } }
    const [one, all] = [await written({ ...world, chains: false }), await written(world)]
    expect(one.ms / all.ms).toBeGreaterThan(1.2)
    expect(all.count('draft_windows_ahead')).toBeGreaterThan(20)
    expect(all.count('draft_model_tokens')).toBe(all.count('draft_tokens'))
  })

  it('of a small model never cost more than none, whatever links and luck are', async () => {
    for (const link of [0, NEAR, FAR])
      for (const isShared of [false, true])
        for (const share of [0, 0.4, 0.8])
          for (const guess of [2, 6, 20]) {
            const world = { ...STAGES, link, isShared, edits: 1, draft: { guess, share }, tokens: 300 }
            const { ms, plain, step } = await written(world)
            const isSlow = ms > plain * 1.03 + 3 * step
            expect({ ...world, isSlow }).toEqual({ ...world, isSlow: false })
          }
  })
})
