import { describe, expect, it } from 'vitest'
import { ORIGIN, planPlacement, planRange } from '../../src/placement/index.ts'
import type { PlanBlock, PlanInput, PlanPeer } from '../../src/placement/index.ts'

const decoder: PlanBlock = { kind: 'decoder', memory: 100, flops: 2e7, kv_bytes: 0, boundaryBytes: 1000 }
const peer = (id: string, memory: number, speed = 1e9): PlanPeer => ({ id, speed, threads: 1, memory, reserved: 0 })

const input: PlanInput = {
  blocks: [
    { kind: 'embedding', memory: 50, flops: 0, kv_bytes: 0, boundaryBytes: 1000 },
    ...Array.from({ length: 10 }, () => decoder),
    { kind: 'head', memory: 50, flops: 0, kv_bytes: 0 },
  ],
  peers: [peer('home', 100), peer('b', 250), peer('c', 350), peer('slow', 1000, 1e7)],
  context: 0,
  concurrency: 1,
  origin: 'home',
  objective: 'latency',
}

describe('peers for a range that was lost', () => {
  it('are several in a row where no single one has the room, in blocks of the model', () => {
    const peers = input.peers.filter(({ id }) => id !== 'slow')
    const links = [{ from: 'home', to: 'b', rtt: 0, bandwidth: 1e9 }]
    expect(planRange({ ...input, peers, links }, 4, 9, ORIGIN, 'z')).toEqual([
      { peer: 'b', from: 4, to: 6 },
      { peer: 'c', from: 6, to: 9 },
    ])
  })

  it('mind the neighbours: who is near the one before comes first', () => {
    const peers = input.peers.filter(({ id }) => id !== 'slow')
    const links = [
      { from: 'y', to: 'b', rtt: 200, bandwidth: 1e8 },
      { from: 'z', to: 'c', rtt: 200, bandwidth: 1e8 },
    ]
    const found = planRange({ ...input, peers, links }, 4, 9, 'y', 'z')
    expect(found?.map(({ peer: id }) => id)).toEqual(['c', 'b'])
    const turned = links.map(({ from, to, ...rest }) => ({ from: from === 'y' ? 'z' : 'y', to, ...rest }))
    expect(planRange({ ...input, peers, links: turned }, 4, 9, 'y', 'z')?.map(({ peer: id }) => id)).toEqual(['b', 'c'])
  })

  it('are one where that is faster, and none where nothing fits', () => {
    expect(planRange(input, 4, 6, 'y', 'z')).toEqual([{ peer: 'b', from: 4, to: 6 }])
    expect(planRange({ ...input, peers: [peer('home', 100), peer('b', 250)] }, 4, 9, 'y', 'z')).toBeUndefined()
  })

  it('leave what is reserved alone, and the ends on the origin', () => {
    const peers = [{ ...peer('b', 250), reserved: 100 }, peer('home', 299)]
    expect(planRange({ ...input, peers }, 4, 6, 'y', 'z')?.map(({ peer: id, from }) => `${id} ${from}`)).toEqual([
      'home 4',
      'b 5',
    ])
  })

  it('refuse a range that the model does not have', () => {
    for (const [from, to] of [
      [3, 3],
      [-1, 2],
      [5, 13],
      [0.5, 2],
    ] as const) {
      expect(() => planRange(input, from, to, 'y', 'z')).toThrow(expect.objectContaining({ code: 'WEFT-PLN-003' }))
    }
  })
})

describe('further holders', () => {
  it('are never the one that holds the stage, though it be the fastest and have room for two', () => {
    const { stages, replicas } = planPlacement({ ...input, peers: [peer('home', 5000), peer('b', 1500, 1e8)] })
    expect(stages[1]).toEqual({ peer: 'home', from: 1, to: 11 })
    expect(replicas).toEqual([{ peer: 'b', from: 1, to: 11 }])
  })

  it('are others than the one that holds the stage, in what memory is left', () => {
    const { stages, replicas, perPeer } = planPlacement({ ...input, peers: [...input.peers, peer('d', 1200)] })
    for (const replica of replicas) {
      const holder = stages.find(({ from, to }) => from <= replica.from && replica.to <= to)!
      expect(holder.peer).not.toBe(replica.peer)
    }
    for (const { id, memory } of [...input.peers, peer('d', 1200)]) {
      const share = perPeer.find((one) => one.peer === id)
      const held = replicas.filter((replica) => replica.peer === id).reduce((sum, { from, to }) => sum + (to - from), 0)
      expect((share?.bytes ?? 0) + 100 * held).toBeLessThanOrEqual(memory)
    }
    const covered = replicas.reduce((sum, { from, to }) => sum + to - from, 0)
    expect(covered).toBe(10)
  })
})
