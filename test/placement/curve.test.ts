/** Rows at once: what a device tells of it, as far as it can be true, and what the plan makes of it. */
import { describe, expect, it } from 'vitest'
import { planDocument, planPlacement, soundCurve } from '../../src/placement/index.ts'
import type { BatchPoint, PlanBlock, PlanInput, PlanPeer } from '../../src/placement/index.ts'
import { rowsFactor } from './brute-force.ts'

const decoder: PlanBlock = { kind: 'decoder', memory: 4e6, flops: 7e6, kv_bytes: 768, boundaryBytes: 1152 }
const peer = (id: string, changes: Partial<PlanPeer> = {}): PlanPeer => {
  return { id, speed: 5e9, threads: 1, memory: 1e9, reserved: 0, blockMs: 1, ...changes }
}
const line = (share: number): BatchPoint[] => [2, 4, 8, 16].map((rows) => ({ rows, factor: 1 + share * (rows - 1) }))

function input(steep: readonly BatchPoint[] | undefined): PlanInput {
  const batchCurve = soundCurve(steep)
  return {
    blocks: [
      { ...decoder, kind: 'embedding', flops: 0, kv_bytes: 0 },
      ...Array.from({ length: 24 }, () => decoder),
      { ...decoder, kind: 'head', flops: 0, kv_bytes: 0 },
    ],
    // Home has no room for a block.
    peers: [peer('home', { memory: 9e6 }), peer('flat'), peer('other', batchCurve === undefined ? {} : { batchCurve })],
    links: [],
    context: 16,
    concurrency: 64,
    origin: 'home',
    objective: 'throughput',
  }
}

const share = (asked: PlanInput, id: string): number =>
  planPlacement(asked).perPeer.find(({ peer: each }) => each === id)?.blocks ?? 0

describe('a peer at which rows at once take longer', () => {
  it('is given fewer blocks for throughput, and as many as before for one session', () => {
    expect([share(input(undefined), 'flat'), share(input(undefined), 'other')]).toEqual([12, 12])
    const steep = input(line(0.2))
    expect(share(steep, 'other')).toBeGreaterThan(0)
    expect(share(steep, 'other')).toBeLessThan(10)
    expect(share(steep, 'flat') + share(steep, 'other')).toBe(24)
    const token = (asked: PlanInput): unknown =>
      planPlacement({ ...asked, objective: 'latency', concurrency: 1 }).stages
    expect(token(steep)).toEqual(token(input(undefined)))
  })

  it('stands in the explanation beside what is usual; who has measured nothing has a dash', () => {
    const { batches, concurrency: rows } = planDocument({ model: 'm', input: input(line(0.2)), explain: true })
    const usual = rowsFactor(rows)
    expect(batches).toContainEqual({ peer: 'flat', rows, predicted_factor: usual, measured_factor: null })
    const measured = expect.closeTo(rowsFactor(rows, soundCurve(line(0.2))), 9) as number
    expect(batches).toContainEqual({ peer: 'other', rows, predicted_factor: usual, measured_factor: measured })
    const alone = { ...input(line(0.2)), concurrency: 1 }
    expect(planDocument({ model: 'm', input: alone, explain: true }).batches).toEqual([])
  })
})

describe('a curve out of a record', () => {
  it.each<[string, readonly BatchPoint[] | undefined]>([
    ['none', undefined],
    ['empty', []],
    ['of one row alone', [{ rows: 1, factor: 1 }]],
    ['of no rows', [{ rows: 0, factor: 2 }]],
    ['of half a row', [{ rows: 2.5, factor: 2 }]],
    ['of more rows than any stage runs', [{ rows: 1e6, factor: 2 }]],
    ['that is nothing', [{ rows: 8, factor: 0 }]],
    ['that is no number', [{ rows: 8, factor: Number.NaN }]],
  ])('%s says nothing', (_what, points) => {
    expect(soundCurve(points)).toBeUndefined()
  })

  it('rises, is never below one row, never far above one after the other, and goes on as is usual', () => {
    const told = [
      { rows: 16, factor: 1e6 },
      { rows: 4, factor: 0.001 },
      { rows: 8, factor: 3 },
      { rows: 8, factor: 700 },
      { rows: 9, factor: 2 },
    ]
    const curve = soundCurve(told)!
    expect(curve.slice(0, 5)).toEqual([
      { rows: 1, factor: 1 },
      { rows: 4, factor: 1 },
      { rows: 8, factor: 3 },
      { rows: 9, factor: 3 },
      { rows: 16, factor: 24 },
    ])
    expect(curve.slice(5)).toEqual(
      [32, 64].map((rows) => ({ rows, factor: expect.closeTo((24 * rowsFactor(rows)) / 1.8, 9) as number })),
    )
    // The planner takes it, whatever was told.
    expect(() => planPlacement(input(told))).not.toThrow()
  })

  it('that was not looked at is refused by the planner', () => {
    const bad = input(undefined)
    const peers = [
      ...bad.peers.slice(1),
      {
        ...bad.peers[0]!,
        batchCurve: [
          { rows: 8, factor: 3 },
          { rows: 4, factor: 4 },
        ],
      },
    ]
    expect(() => planPlacement({ ...bad, peers })).toThrow(expect.objectContaining({ code: 'WEFT-PLN-008' }))
  })
})
