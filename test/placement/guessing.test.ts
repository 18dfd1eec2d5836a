/** Guesses that come true: a step gives several tokens, so that its links count less a token and its rows more. */
import { describe, expect, it } from 'vitest'
import { planDocument, planPlacement, soundGuessing } from '../../src/placement/index.ts'
import type { PlanBlock, PlanInput } from '../../src/placement/index.ts'

const decoder: PlanBlock = { kind: 'decoder', memory: 4e6, flops: 7e6, kv_bytes: 0, boundaryBytes: 1000 }
const FLAT = [1, 4].map((rows) => ({ rows, factor: 1 }))
const STEEP = [1, 4].map((rows) => ({ rows, factor: rows }))

/** At home a token takes 40 ms; far away 10 ms, and 40 ms on the way there and back. */
function input(guessing?: PlanInput['guessing'], curve = FLAT): PlanInput {
  const peer = { speed: 5e9, threads: 1, memory: 1e9, reserved: 0, batchCurve: curve }
  return {
    blocks: Array.from({ length: 10 }, () => decoder),
    peers: [
      { ...peer, id: 'home', blockMs: 4 },
      { ...peer, id: 'far', blockMs: 1 },
    ],
    links: [{ from: 'home', to: 'far', rtt: 39.99, bandwidth: 1e9 }],
    hopMs: 0,
    context: 16,
    concurrency: 1,
    origin: 'home',
    objective: 'latency',
    ...(guessing === undefined ? {} : { guessing }),
  }
}

const holders = (asked: PlanInput): string[] =>
  planPlacement(asked)
    .perPeer.filter(({ blocks }) => blocks > 0)
    .map(({ peer }) => peer)

describe('a step with guesses', () => {
  it('goes the far way to the faster peer where its rows cost more than its links', () => {
    // Without: 40 ms at home, 50 far away. With three tokens of four rows that cost as much as one: 13.3 and 16.7.
    expect(holders(input())).toEqual(['home'])
    expect(holders(input({ tokens: 3, rows: 4 }))).toEqual(['home'])
    // Where four rows cost four times one: 160 ms for a step at home, 80 far away.
    expect(holders(input({ tokens: 3, rows: 4 }, STEEP))).toEqual(['far'])
  })

  it('is predicted a token, and its terms add up to that', () => {
    const { prediction } = planPlacement(input({ tokens: 3, rows: 4 }, STEEP))
    expect(prediction!.terms.map(({ kind, ms }) => [kind, Number((3 * ms).toFixed(3))])).toEqual([
      ['hop', 19.995],
      ['compute', 40],
      ['hop', 19.999],
    ])
    expect(prediction!.msPerToken).toBeCloseTo(79.994 / 3, 3)
    expect(prediction!.terms.reduce((sum, { ms }) => sum + ms, 0)).toBe(prediction!.msPerToken)
  })

  it('is told where a plan is explained; nothing was measured: null', () => {
    const told = (asked: PlanInput): unknown => planDocument({ model: 'm', input: asked, explain: true }).speculation
    expect(told(input({ tokens: 3, rows: 4 }))).toEqual({ tokens_per_step: 3, rows_per_step: 4 })
    expect(told(input())).toBeNull()
  })
})

describe('guesses out of a record', () => {
  it.each([
    ['nothing', undefined, undefined],
    ['tokens without rows', 2, undefined],
    ['a token a step', 1, 3],
    ['less than a token', 0.5, 3],
    ['no number', Number.NaN, 3],
  ])('that say %s say nothing', (_what, tokens, rows) => {
    expect(soundGuessing(tokens, rows)).toBeUndefined()
  })

  it.each([
    [2, 3, 2, 3],
    // More tokens than rows cannot come of a step.
    [5, 1, 5, 5],
    [5, Number.NaN, 5, 5],
    [1e9, 1e9, 64, 64],
    [2, Infinity, 2, 64],
  ])('%d tokens of %d rows count as %d of %d, which the planner takes', (told, rows, tokens, most) => {
    const guessing = soundGuessing(told, rows)
    expect(guessing).toEqual({ tokens, rows: most })
    expect(() => planPlacement(input(guessing))).not.toThrow()
  })

  it('that were not looked at are refused by the planner', () => {
    for (const guessing of [
      { tokens: 0.5, rows: 1 },
      { tokens: 3, rows: 2 },
      { tokens: Number.NaN, rows: 2 },
    ])
      expect(() => planPlacement(input(guessing))).toThrow(expect.objectContaining({ code: 'WEFT-PLN-008' }))
  })
})
