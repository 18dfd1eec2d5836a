import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseFleet, planDocument, planPlacement } from '../../src/placement/index.ts'
import type { PlanBlock, PlanInput } from '../../src/placement/index.ts'

const decoder: PlanBlock = { kind: 'decoder', memory: 2.5e8, flops: 9e8, kv_bytes: 4096, boundaryBytes: 8192 }
const ends: PlanBlock = { kind: 'head', memory: 2e8, flops: 4e8, kv_bytes: 0, boundaryBytes: 8192 }
const blocks: PlanBlock[] = [
  { ...ends, kind: 'embedding', flops: 0 },
  ...Array.from({ length: 32 }, () => decoder),
  ends,
]

function input(name: string, changes: Partial<PlanInput> = {}): PlanInput {
  const text = readFileSync(new URL(`../../peers/fleets/${name}.json`, import.meta.url), 'utf8')
  const { peers, links, origin } = parseFleet(text, name)
  return { blocks, peers, links, origin, context: 2048, concurrency: 1, objective: 'latency', ...changes }
}

describe('weft.plan/1', () => {
  it('has what interface.md promises, and is plain data', () => {
    const plan = planDocument({ model: 'm', input: input('three-cities') })
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
    expect(plan).toMatchObject({ schema: 'weft.plan/1', model: 'm', verdict: 'split', origin: 'berlin' })
    expect(plan.prediction).toMatchObject({ prompt_tokens: 512, measured: true })
    expect(plan.prediction!.tokens_per_second).toBeCloseTo(1000 / plan.prediction!.ms_per_token, 9)
    expect(plan.peers.reduce((sum, { bytes, kv_bytes }) => sum + bytes + kv_bytes, 0)).toBe(plan.need_bytes)
    expect(plan.terms).toBeUndefined()
  })

  it('explains a token term by term, with what was measured beside it', () => {
    const asked = { model: 'm', input: input('three-cities'), explain: true } as const
    const { blocks } = planDocument(asked).terms!.find(({ peer, kind }) => peer === 'berlin' && kind === 'compute')!
    const measured = [
      { peer: 'berlin', blocks: [90, 91] as const, ms: 5 },
      { peer: 'berlin', ...(blocks === undefined ? {} : { blocks }), ms: 3 },
    ]
    const plan = planDocument({ ...asked, measured })
    const sum = plan.terms!.reduce((total, { predicted_ms }) => total + predicted_ms, 0)
    expect(sum).toBeCloseTo(plan.prediction!.ms_per_token, 9)
    expect(plan.bounds!.reduce((total, { share }) => total + share, 0)).toBeCloseTo(1, 9)
    expect(plan.terms!.find(({ peer, kind }) => peer === 'berlin' && kind === 'compute')?.measured_ms).toBe(3)
    expect(plan.terms!.find(({ kind }) => kind === 'hop')?.measured_ms).toBeNull()
  })

  it('names runners-up over other peers, each no better, and why they were not chosen', () => {
    const plan = planDocument({ model: 'm', input: input('big-mesh') })
    expect(plan.runners_up.length).toBeGreaterThan(0)
    const sets = plan.runners_up.map(({ peers }) => [...peers].sort().join())
    expect(new Set(sets).size).toBe(sets.length)
    let before = 1
    for (const { factor, why_not: why } of plan.runners_up) {
      expect(factor).toBeGreaterThanOrEqual(before)
      expect(why).not.toBe('')
      before = factor
    }
  })

  it('advises what helps as much as it says, when it is done', () => {
    const asked = input('three-cities', { objective: 'first-token' })
    const { advice } = planDocument({ model: 'm', input: asked, explain: true })
    const [first] = advice!.filter(({ change }) => change.endsWith('twice as fast'))
    const [name] = first!.change.split(' ')
    const better = planDocument({ model: 'm', input: asked, whatIf: [`speed:${name}=2`] })
    const now = planPlacement(asked).prediction!.firstTokenMs
    expect(now / better.prediction!.first_token_ms).toBeCloseTo(first!.factor, 9)
  })

  it('says that a line is what is slow, and that a faster one would help', () => {
    const two = input('three-cities', { objective: 'throughput', concurrency: 64, context: 128 })
    const slow = (two.links ?? []).map((link) => ({ ...link, bandwidth: 2e5 }))
    const plan = planDocument({ model: 'm', input: { ...two, links: slow }, explain: true })
    expect(plan.prediction!.throughput.bottleneck.kind).toBe('link')
    expect(
      plan.advice!.some(({ change, factor }) => change.startsWith('a 16 Mbit/s link between') && factor > 1.2),
    ).toBe(true)
  })

  it('says what is missing where nothing fits', () => {
    const plan = planDocument({ model: 'm', input: input('single-pi', { concurrency: 64 }), explain: true })
    expect(plan).toMatchObject({ verdict: 'no-fit', prediction: null, stages: [], runners_up: [] })
    expect(plan.why.some((reason) => reason.endsWith('bytes are missing'))).toBe(true)
  })
})
