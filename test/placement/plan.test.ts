import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkPlacement, NoPlacementError, ORIGIN, planPlacement } from '../../src/placement/index.ts'
import type { Plan, PlanBlock, PlanInput, PlanPeer } from '../../src/placement/index.ts'

const MB = 1e6

function blocks(layers: number, memory = 4 * MB): PlanBlock[] {
  const decoder: PlanBlock = { kind: 'decoder', memory, flops: 7e6, kv_bytes: 768, boundaryBytes: 1152 }
  return [
    { kind: 'embedding', memory: 30 * MB, flops: 0, kv_bytes: 0, boundaryBytes: 1152 },
    ...Array.from({ length: layers }, () => decoder),
    { kind: 'head', memory: 30 * MB, flops: 56e6, kv_bytes: 0 },
  ]
}

function peer(id: string, changes: Partial<PlanPeer> = {}): PlanPeer {
  return { id, speed: 5e9, threads: 1, memory: 1000 * MB, reserved: 0, ...changes }
}

function input(changes: Partial<PlanInput> = {}): PlanInput {
  const peers = changes.peers ?? [peer('a'), peer('b'), peer('c')]
  return { blocks: blocks(30), context: 2048, concurrency: 1, origin: 'a', objective: 'latency', ...changes, peers }
}

const counts = (plan: Plan): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const { peer, from, to } of plan.stages) sums[peer] = (sums[peer] ?? 0) + to - from
  return sums
}

describe('the planner', () => {
  it('keeps embedding and head with the origin', () => {
    for (const objective of ['latency', 'memory', 'spread'] as const) {
      const { stages } = planPlacement(input({ objective }))
      expect(stages[0]).toEqual({ peer: ORIGIN, from: 0, to: 1 })
      expect(stages.at(-1)).toEqual({ peer: ORIGIN, from: 31, to: 32 })
    }
  })

  it('does not split what one peer can hold, and says so', () => {
    const plan = planPlacement(input())
    expect(plan.verdict).toBe('do-not-split')
    expect(counts(plan)).toEqual({ origin: 2, a: 30 })
    expect(plan.why[0]).toBe('a holds all 30 decoder blocks: with every further peer a token would take longer')
  })

  it('takes the peer that is fast enough to be worth the hops', () => {
    const fast = planPlacement(input({ peers: [peer('a'), peer('b', { speed: 50e9 })] }))
    expect(counts(fast)).toEqual({ origin: 2, b: 30 })
    const hardly = planPlacement(input({ peers: [peer('a'), peer('b', { speed: 5.1e9 })] }))
    expect(counts(hardly)).toEqual({ origin: 2, a: 30 })
  })

  it('says of whom it takes no word, and what it counts instead', () => {
    const boaster = peer('b', { blockMs: 12.64, toldBlockMs: 0.00021, memory: 20 * MB, toldMemory: 1e12 })
    expect(planPlacement(input({ peers: [peer('a'), boaster] })).why).toEqual(
      expect.arrayContaining([
        'b counts with 20000000 bytes, not the 1000000000000 that it tells of: a stage of more came to nothing there',
        'b counts with 13 ms a block, not the 0.00021 ms that it tells of: answers over it took so long',
      ]),
    )
  })

  it('minds the links: a fast peer behind a slow line is left out', () => {
    const peers = [peer('a'), peer('b', { speed: 50e9 })]
    const links = [{ from: 'b', to: 'a', rtt: 80, bandwidth: 1e6 }]
    const plan = planPlacement(input({ peers, links }))
    expect(counts(plan)).toEqual({ origin: 2, a: 30 })
    expect(plan.why).toContain('b is left out: the plan is better without it')
  })

  it('divides over as few peers as can hold the model when one cannot', () => {
    const peers = ['a', 'b', 'c', 'd'].map((id) => peer(id, { memory: 130 * MB }))
    const plan = planPlacement(input({ peers }))
    expect(plan.verdict).toBe('split')
    expect(plan.perPeer).toHaveLength(2)
  })

  it('predicts the time of a token: blocks and hops, one after the other', () => {
    const plan = planPlacement(input())
    expect(plan.msPerToken).toBeCloseTo(((30 * 3.5e6 + 28e6) / 5e9) * 1000, 6)
    expect(planPlacement(input({ peers: [peer('a', { speed: 0 })] })).msPerToken).toBeNull()
  })

  it('spreads over all peers in proportion to their speed', () => {
    const even = planPlacement(input({ objective: 'spread' }))
    expect(counts(even)).toEqual({ origin: 2, a: 10, b: 10, c: 10 })
    const peers = [peer('a'), peer('b', { speed: 10e9 }), peer('c', { threads: 3 })]
    expect(counts(planPlacement(input({ objective: 'spread', peers })))).toEqual({ origin: 2, a: 5, b: 10, c: 15 })
  })

  it('spreads what does not divide evenly so that no peer is more than a block off', () => {
    const plan = planPlacement(input({ objective: 'spread', blocks: blocks(31) }))
    const { origin, ...rest } = counts(plan)
    expect(origin).toBe(2)
    expect(Object.values(rest).sort((left, right) => left - right)).toEqual([10, 10, 11])
  })

  it('gives each peer of a spread a block, however slow it is', () => {
    const peers = [peer('a', { speed: 1e12 }), peer('b', { speed: 1 }), peer('c', { speed: 1 })]
    expect(counts(planPlacement(input({ objective: 'spread', peers })))).toEqual({ origin: 2, a: 28, b: 1, c: 1 })
  })

  it('spreads over no more peers than there are blocks, the fastest first', () => {
    const peers = ['a', 'b', 'c', 'd'].map((id, index) => peer(id, { speed: 1e9 * (index + 1) }))
    const plan = planPlacement(input({ objective: 'spread', peers, blocks: blocks(2) }))
    expect(plan.stages).toHaveLength(4)
    expect(Object.keys(counts(plan))).toHaveLength(3)
  })

  it('keeps to the memory of each peer when it spreads by speed', () => {
    const small = peer('b', { speed: 100e9, memory: 3 * 4 * MB + 3 * 768 * 2048 })
    const plan = planPlacement(input({ objective: 'spread', peers: [peer('a'), small] }))
    expect(counts(plan)).toEqual({ origin: 2, a: 27, b: 3 })
  })

  it('leaves out a peer that has no room for a block, and says so', () => {
    const plan = planPlacement(input({ objective: 'spread', peers: [peer('a'), peer('b', { reserved: 999 * MB })] }))
    expect(counts(plan)).toEqual({ origin: 2, a: 30 })
    expect(plan.why.some((reason) => reason.startsWith('b is left out: 1000000 bytes are free'))).toBe(true)
  })

  it('fills all peers in proportion to their free memory when asked to', () => {
    const peers = [peer('a', { memory: 160 * MB }), peer('b', { memory: 200 * MB }), peer('c', { memory: 300 * MB })]
    const plan = planPlacement(input({ objective: 'memory', peers }))
    // 60 MB of a's are for embedding and head.
    expect(counts(plan)).toEqual({ origin: 2, a: 5, b: 10, c: 15 })
  })

  it('counts the KV cache of the wanted context and sessions', () => {
    const one = planPlacement(input({ peers: [peer('a', { memory: 300 * MB })] }))
    expect(one.verdict).toBe('do-not-split')
    expect(one.perPeer[0]).toEqual({ peer: 'a', blocks: 32, bytes: 180 * MB, kvBytes: 30 * 768 * 2048 })
    const many = planPlacement(input({ concurrency: 8, peers: [peer('a', { memory: 300 * MB })] }))
    expect(many.verdict).toBe('no-fit')
    expect(many.why).toContain('a context of 512 tokens would fit')
    expect(many.why).toContain('one session at a time would fit')
  })

  it('says what is needed, what is there and what would help when nothing fits', () => {
    const plan = planPlacement(input({ peers: [peer('a', { memory: 100 * MB }), peer('b', { memory: 50 * MB })] }))
    expect(plan).toMatchObject({ verdict: 'no-fit', stages: [], haveBytes: 150 * MB })
    expect(plan.needBytes).toBe(180 * MB + 30 * 768 * 2048)
    const error = new NoPlacementError('m', plan)
    expect(error).toMatchObject({ code: 'WEFT-PLN-007', info: { exit: 6, http: 503 } })
    expect(error.details).toMatchObject({ needBytes: plan.needBytes, haveBytes: 150 * MB })
  })

  it('says when it is the origin that cannot hold embedding and head', () => {
    const plan = planPlacement(input({ peers: [peer('a', { memory: 50 * MB }), peer('b')] }))
    expect(plan.verdict).toBe('no-fit')
    expect(plan.why).toContain('the origin a lacks 10000000 bytes for embedding and head, which stay with it')
  })

  it('finds another order of the ring where the usual one does not fit', () => {
    const odd = [...blocks(0).slice(0, 1), ...blocks(1, 1 * MB).slice(1, 2), ...blocks(1, 9 * MB).slice(1)]
    const kv = 768 * 2048
    const peers = [peer('a', { memory: 60 * MB + 9 * MB + kv }), peer('b', { memory: 1 * MB + kv, speed: 1 })]
    const plan = planPlacement(input({ blocks: odd, peers }))
    expect(plan.stages.map(({ peer: id }) => id)).toEqual([ORIGIN, 'b', 'a', ORIGIN])
  })

  it('refuses a question that has no meaning', () => {
    const wrong: Partial<PlanInput>[] = [
      { blocks: [] },
      { peers: [peer('a'), peer('a')] },
      { peers: [peer('b')] },
      { peers: [peer('a', { memory: NaN })] },
      { context: -1 },
      { blocks: [...blocks(1), ...blocks(1)] },
    ]
    for (const changes of wrong) expect(() => planPlacement(input(changes))).toThrow(/^cannot plan/)
  })
})

const anyPeers = fc
  .uniqueArray(
    fc.record({
      speed: fc.constantFrom(0, 1e9, 3e9, 8e9),
      threads: fc.integer({ min: 1, max: 8 }),
      memory: fc.integer({ min: 0, max: 400 }),
      reserved: fc.integer({ min: 0, max: 50 }),
      id: fc.integer({ min: 0, max: 99 }),
    }),
    { selector: ({ id }) => id, minLength: 1, maxLength: 6 },
  )
  .map((list) =>
    list.map((one) => ({ ...one, id: `p${one.id}`, memory: one.memory * MB, reserved: one.reserved * MB })),
  )

const anyInput = fc
  .record({
    peers: anyPeers,
    sizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 24 }),
    context: fc.integer({ min: 0, max: 4096 }),
    concurrency: fc.integer({ min: 1, max: 3 }),
    objective: fc.constantFrom('latency' as const, 'memory' as const, 'spread' as const),
    first: fc.nat(),
  })
  .map(({ peers, sizes, first, ...rest }): PlanInput => {
    const [embedding, , head] = blocks(1) as [PlanBlock, PlanBlock, PlanBlock]
    const decoders = sizes.map((size) => ({ ...blocks(1)[1]!, memory: size * MB }))
    return { ...rest, peers, blocks: [embedding, ...decoders, head], origin: peers[first % peers.length]!.id }
  })

describe('laws of the planner', () => {
  it('covers every block once and in order, within the memory of every peer', () => {
    fc.assert(
      fc.property(anyInput, (question) => {
        const plan = planPlacement(question)
        if (plan.verdict === 'no-fit') return
        const known = new Set(question.peers.map(({ id }) => id))
        checkPlacement(plan.stages, question.blocks.length, known)
        let placed = 0
        for (const share of plan.perPeer) {
          const { memory, reserved } = question.peers.find(({ id }) => id === share.peer)!
          expect(share.bytes + share.kvBytes).toBeLessThanOrEqual(memory - reserved)
          placed += share.bytes + share.kvBytes
        }
        expect(placed).toBe(plan.needBytes)
        const decoding = plan.stages.filter(({ peer: id }) => id !== ORIGIN).map(({ peer: id }) => id)
        // A peer may come twice, but not after itself.
        expect(decoding.every((id, place) => id !== decoding[place - 1])).toBe(true)
        expect(plan.verdict).toBe(decoding.length > 1 ? 'split' : 'do-not-split')
      }),
      { numRuns: 300 },
    )
  })

  it('gives the same answer again, and for any order of listing', () => {
    fc.assert(
      fc.property(anyInput, fc.infiniteStream(fc.nat()), (question, lots) => {
        const peers = question.peers.map((one) => [lots.next().value as number, one] as const)
        const shuffled = peers.sort(([left], [right]) => left - right).map(([, one]) => one)
        expect(planPlacement({ ...question, peers: shuffled })).toEqual(planPlacement(question))
      }),
      { numRuns: 200 },
    )
  })

  it('is never slower with one peer more', () => {
    fc.assert(
      fc.property(anyInput, (question) => {
        const measured = question.peers.map((one) => ({ ...one, speed: one.speed || 2e9 }))
        const whole = planPlacement({ ...question, peers: measured, objective: 'latency' })
        const others = measured.filter(({ id }, index) => index > 0 || id === question.origin)
        const fewer = planPlacement({ ...question, peers: others, objective: 'latency' })
        if (whole.msPerToken === null || fewer.msPerToken === null) return
        // Holds within one order of the ring; where odd sizes forced another one, that order is not optimised.
        if (fewer.verdict === 'do-not-split')
          expect(whole.msPerToken).toBeLessThanOrEqual(fewer.msPerToken * (1 + 1e-9))
      }),
      { numRuns: 200 },
    )
  })

  it('never says that nothing fits where the origin alone could hold all', () => {
    fc.assert(
      fc.property(anyInput, (question) => {
        const origin = question.peers.find(({ id }) => id === question.origin)!
        const plan = planPlacement(question)
        if (origin.memory - origin.reserved >= plan.needBytes) expect(plan.verdict).not.toBe('no-fit')
      }),
      { numRuns: 200 },
    )
  })
})
