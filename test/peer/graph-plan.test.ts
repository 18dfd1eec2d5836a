/** A graph before the planner: runs in place of tokens, no ends that stay, what crosses as its manifest says. */
import { describe, expect, it } from 'vitest'
import { graphAsked, inAllBlocks, withCuts } from '../../src/peer/graph-plan.ts'
import { pacesOf } from '../../src/peer/peers-with-room.ts'
import { planDocument, planPlacement } from '../../src/placement/index.ts'
import type { PlanInput, PlanPeer } from '../../src/placement/index.ts'
import type { GraphManifest } from '../../src/models/index.ts'

const MB = 1e6

/** Eight blocks of 10 MB and 10 million multiply-adds each; what crosses is large but before block 4. */
function manifest(): Pick<GraphManifest, 'blocks' | 'graph'> {
  const blocks = Array.from({ length: 8 }, (_, index) => ({
    kind: 'graph' as const,
    tensors: [],
    bytes: 10 * MB,
    memory: 10 * MB,
    flops: 20e6,
    kv_bytes: 0 as const,
    boundary_bytes: index === 0 ? 0 : index === 4 ? 1_000 : 4 * MB,
  }))
  const value = (name: string, shape: readonly (number | string)[]) => ({ name, type: 'float32', shape })
  const graph = { inputs: [value('x', ['batch', 3, 64, 64])], outputs: [value('y', ['batch', 10])] }
  return { blocks, graph: { ...graph, optimization: 'all', proven: [4], half_as_float: false } }
}

const peer = (id: string, changes: Partial<PlanPeer> = {}): PlanPeer => ({
  id,
  speed: 1e9,
  threads: 1,
  memory: 1000 * MB,
  reserved: 0,
  ...changes,
})

function asked(objective: PlanInput['objective'], peers: readonly PlanPeer[], concurrency?: number): PlanInput {
  const wishes = concurrency === undefined ? { objective } : { objective, concurrency }
  return { ...graphAsked(manifest(), wishes), peers, origin: 'a', objective }
}

describe('a placement of a graph', () => {
  it('counts with the bytes of its ends and of each cut', () => {
    const { blocks, inputBytes, unit } = graphAsked(manifest(), {})
    expect(unit).toBe('run')
    expect(inputBytes).toBe(3 * 64 * 64 * 4)
    expect(blocks.map(({ boundaryBytes }) => boundaryBytes)).toEqual([
      ...Array(3).fill(4 * MB),
      1_000,
      ...Array(3).fill(4 * MB),
      40,
    ])
  })

  it('is one peer where that has the memory, whole: nothing stays behind with the origin', () => {
    const plan = planPlacement(asked('latency', [peer('a'), peer('b')]))
    expect(plan).toMatchObject({ verdict: 'do-not-split', stages: [{ peer: 'a', from: 0, to: 8 }] })
    expect(plan.why[0]).toBe('a holds all 8 blocks: with every further peer a run would take longer')
  })

  it('goes to the faster peer where that is worth the way there and back', () => {
    const plan = planPlacement(asked('latency', [peer('a'), peer('b', { speed: 20e9 })]))
    expect(plan.stages).toEqual([{ peer: 'b', from: 0, to: 8 }])
  })

  it('is divided where no peer has the memory, where the least crosses', () => {
    const plan = planPlacement(asked('latency', [peer('a', { memory: 55 * MB }), peer('b', { memory: 55 * MB })]))
    expect(plan.verdict).toBe('split')
    expect(plan.stages.map(({ from, to }) => [from, to])).toEqual([
      [0, 4],
      [4, 8],
    ])
    const none = planPlacement(asked('latency', [peer('a', { memory: 35 * MB }), peer('b', { memory: 35 * MB })]))
    expect(none.verdict).toBe('no-fit')
    expect(none.why).toEqual(['10000000 bytes are missing'])
  })

  it('for a throughput fills a pipeline: two peers run nearly twice as many, since no run is shorter in company', () => {
    const alone = planPlacement(asked('throughput', [peer('a')]))
    const both = planPlacement(asked('throughput', [peer('a'), peer('b')]))
    expect(alone.prediction!.tokensPerSecond).toBeCloseTo(12.5)
    expect(both.stages).toHaveLength(2)
    expect(both.prediction!.tokensPerSecond).toBeGreaterThan(1.8 * 12.5)
  })

  it('is told in runs', () => {
    const peers = [peer('a'), peer('b', { speed: 20e9 })]
    const document = planDocument({ model: 'm', input: asked('latency', peers), explain: true })
    expect(document.unit).toBe('run')
    expect([document.why, document.advice].map((each) => JSON.stringify(each)).join()).not.toMatch(
      /token|decoder|context/,
    )
    expect(document.runners_up[0]!.why_not).toMatch(/^a run takes/)
  })

  it('takes the cuts that are proven, where others change bits', () => {
    const input = withCuts(asked('throughput', [peer('a'), peer('b'), peer('c')]), [4])
    expect(input.blocks.map(({ memory, flops }) => [memory, flops])).toEqual([
      [40 * MB, 80e6],
      [40 * MB, 80e6],
    ])
    const { stages } = planPlacement(input)
    expect(inAllBlocks(stages, [4], 8).map(({ from, to }) => [from, to])).toEqual([
      [0, 4],
      [4, 8],
    ])
    expect(withCuts(input, []).blocks).toHaveLength(1)
  })
})

describe('how fast peers are, for a graph over all of them', () => {
  const of = (...rates: readonly number[]): readonly number[] | undefined =>
    pacesOf(rates.map((rate, at) => ({ peer: `p${at}`, bytes: 1, rate })))

  it('counts from twice as fast on, in steps, against the slowest', () => {
    expect(of(4e9, 1e9)).toEqual([4, 1])
    expect(of(4.2e9, 1e9)).toEqual([4, 1])
    expect(of(1e9, 2.9e9, 1e9)).toEqual([1, 2 ** 1.5, 1])
  })

  it('is nothing where it is not known of one, or all are about the same', () => {
    expect(of(1.9e9, 1e9)).toBeUndefined()
    expect(of(4e9, 0)).toBeUndefined()
  })
})
