/** A peer that tells of memory which it does not have: found by what comes to nothing there, and counted with less for a while. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { memoryLines } from '../../src/cli/link-view.ts'
import type { ModelHoldings, PeerProfile } from '../../src/mesh/index.ts'
import { runPeer } from '../../src/peer/create-peer.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { realNeeds } from '../../src/peer/parts.ts'
import type { PeerNeeds } from '../../src/peer/parts.ts'
import { ShortPeers } from '../../src/peer/profile-short.ts'
import { livingState } from '../../src/peer/replan-input.ts'
import type { ReplanInputNeeds } from '../../src/peer/replan-input.ts'
import { MemoryQuotaError, StageMemoryError } from '../../src/pipeline/errors.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { fakeManifest } from '../api/fake-peer.ts'
import { profile } from '../mesh/support/make-mesh.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }
const MINUTE = 60_000
const block = { kind: 'decoder', weights: 'q4', tensors: [], bytes: 100, memory: 100, flops: 1, kv_bytes: 1 } as const
const MANIFEST = { ...fakeManifest(), blocks: Array.from({ length: 8 }, () => block) }
const { digest, model } = MANIFEST

describe('what is known of a peer', () => {
  let clock: VirtualClock
  let held: ModelHoldings[]
  let told: number
  let short: ShortPeers

  beforeEach(() => {
    clock = virtualClock()
    held = []
    told = 0
    short = new ShortPeers({
      self: 'self',
      clock,
      holdings: () => held,
      manifest: () => MANIFEST,
      changed: () => void told++,
    })
  })

  const holds = (state: 'ready' | 'failed' | 'loading', from: number, to: number, isShort = true): void => {
    const stage = { from, to, pid: 1, memory: 50, state, ...(isShort && state === 'failed' ? { short: true } : {}) }
    held = [{ model, digest, tensors: [], stages: [stage] }]
    short.look('b')
  }

  it('is what failed there for want of memory, half way down to what stands there, and no more than it tells', () => {
    holds('failed', 0, 8)
    expect(short.memory('b', 1e9)).toBe(400)
    expect(short.memory('b', 300)).toBe(300)
    expect(short.memory('c', 1e9)).toBe(1e9)
    expect(short.told()).toEqual([{ peer: 'b', bytes: 400 }])
    expect(short.counted('b')).toMatchObject({ memory: 400, needed: 800, model, for_s: 600 })
    held = [{ model, digest, tensors: [], stages: [{ from: 0, to: 4, pid: 1, memory: 50, state: 'ready' }] }]
    short.refused('b', MANIFEST, { from: 4, to: 6 }, new MemoryQuotaError(model, 600, 500))
    expect(short.memory('b', 1e9)).toBe(500)
  })

  it('is nothing where it failed for another reason, refused for want of room for sessions, or is this peer', () => {
    holds('failed', 0, 8, false)
    short.refused('b', MANIFEST, { from: 0, to: 8 }, new Error('no'))
    short.refused('self', MANIFEST, { from: 0, to: 8 }, new StageMemoryError(model, 'ended', 3, 1))
    expect([short.told(), told]).toEqual([[], 0])
  })

  it('lasts ten minutes, and twice as long each further time; what is told again meanwhile is nothing new', async () => {
    holds('failed', 0, 8)
    await clock.advance(9 * MINUTE)
    holds('failed', 0, 8)
    expect(told).toBe(1)
    expect(short.memory('b', 1e9)).toBe(400)
    await clock.advance(MINUTE)
    expect(short.memory('b', 1e9)).toBe(1e9)
    expect(short.told()).toEqual([])
    holds('failed', 0, 8)
    expect(short.counted('b')?.for_s).toBe(1_200)
    for (let time = 0; time < 5; time++) {
      await clock.advance(90 * MINUTE)
      holds('failed', 0, 8)
    }
    expect(short.counted('b')?.for_s).toBe(80 * 60)
  })

  it('is over when it holds as much after all', () => {
    holds('failed', 0, 8)
    holds('ready', 0, 4)
    expect(short.memory('b', 1e9)).toBe(400)
    holds('ready', 0, 8)
    expect(short.memory('b', 1e9)).toBe(1e9)
  })

  it('is learned from one that goes away while it loads, the second time', () => {
    holds('loading', 0, 8)
    short.left('b')
    expect(short.told()).toEqual([])
    holds('loading', 0, 8)
    holds('ready', 0, 8)
    short.left('b')
    expect(short.told()).toEqual([])
    holds('loading', 0, 8)
    short.left('b')
    expect(short.told()).toEqual([{ peer: 'b', bytes: 400 }])
  })

  it('is bounded, whoever they are', () => {
    for (let peer = 0; peer < 200; peer++)
      short.refused(`p${peer}`, MANIFEST, { from: 0, to: 8 }, new StageMemoryError(model, 'ended', 3, 1))
    expect(short.told()).toHaveLength(64)
    expect(short.memory('p199', 1e9)).toBe(400)
    expect(short.memory('p0', 1e9)).toBe(1e9)
  })

  it('is a line of weft peers --wide', () => {
    holds('failed', 0, 8)
    const peers = [{ name: 'b', profile: null, counted: short.counted('b')! }] as unknown as Parameters<
      typeof memoryLines
    >[0]['peers']
    const [line] = memoryLines({ peers })
    expect(line).toContain('planned with 400 B for 10 minutes yet')
    expect(line).toContain(`800 B with a stage of ${model} came to nothing there`)
  })
})

it('counts in the judgement of a placement that lives as whoever asks has told, and not against what stands', () => {
  const own = (name: string, more: Partial<PeerProfile> = {}): PeerProfile => ({
    ...profile(name),
    addresses: [],
    ...more,
  })
  const stage = { from: 1, to: 3, pid: 1, memory: 1, state: 'ready' as const }
  let holdings = new Map<string, ModelHoldings[]>()
  const mesh = {
    peers: () => [{ id: 'b', state: 'connected' }],
    profiles: () =>
      new Map([
        ['a', own('a', { short: [{ peer: 'b', bytes: 7 }] })],
        ['b', own('b', { short: [{ peer: 'a', bytes: 7 }] })],
      ]),
    holdings: () => holdings,
    manifests: () => [],
    state: () => 'connected',
  } as unknown as ReplanInputNeeds['mesh']
  const stages = [
    { peer: 'origin', from: 0, to: 1 },
    { peer: 'b', from: 1, to: 3 },
    { peer: 'origin', from: 3, to: 8 },
  ]
  const memory = (): Record<string, number> | undefined => {
    const placement = { model, digest, epoch: 1, author: 'a', kind: 'chosen', stages, replicas: [] } as const
    const note = { origin: 'a', objective: 'latency' as const }
    const state = livingState({ self: 'a', mesh }, MANIFEST, { ...placement, note })
    return state === undefined ? undefined : Object.fromEntries(state.input.peers.map((peer) => [peer.id, peer.memory]))
  }
  const quota = profile('a').hardware.memory_quota
  expect(memory()).toEqual({ a: quota, b: 7 })
  holdings = new Map([['b', [{ model, digest, tensors: [], stages: [stage] }]]])
  expect(memory()).toEqual({ a: quota, b: quota })
})

describe('a peer that says it has room', () => {
  let folder: string
  let a: LocalPeer
  let b: LocalPeer

  const start = async (name: string, bootstrap: readonly string[], needs: PeerNeeds): Promise<LocalPeer> => {
    const init = {
      home: join(folder, name),
      name,
      network: `short-${folder.slice(-6)}`,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap,
      lan: 'off' as const,
      threads: 1,
      logLevel: 'error' as const,
    }
    return (await runPeer(init, undefined, needs)).peer
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-short-'))
    const real = realNeeds()
    a = await start('a', [], real)
    await a.importModel({ source: TINY, name: 'tiny' })
    // What it works with is read once, and what it tells of later.
    let free = 1e6
    const machine = { ...real.machine, memory: () => ({ total: 64e9, free }) }
    b = await start('b', a.status().peer.addresses, { ...real, machine })
    free = 32e9
    await vi.waitFor(() => expect(a.status().peers[0]?.profile?.memory_quota).toBeGreaterThan(1e10), WAIT)
  }, 120_000)

  afterAll(async () => {
    await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
    await rm(folder, { recursive: true, force: true })
  })

  const answer = async (): Promise<readonly number[]> => {
    const input = { kind: 'ids', ids: [12, 300, 45, 7] } as const
    for await (const event of a.generate({ model: 'tiny', input, sampling: GREEDY, maxTokens: 8, ignoreEnd: true }))
      if (event.type === 'end') return event.ids
    return []
  }

  it('and has not is found out by a deploy, which leaves what stands, and every plan after it', async () => {
    const blocks = (await a.manifest('tiny')).blocks.length
    await a.deploy('tiny', { model: 'tiny', stages: [{ peer: 'origin', from: 0, to: blocks }] })
    const before = await answer()
    const stages = [
      { peer: 'origin', from: 0, to: 1 },
      { peer: b.id, from: 1, to: blocks - 1 },
      { peer: 'origin', from: blocks - 1, to: blocks },
    ]
    await expect(a.deploy('tiny', { model: 'tiny', stages })).rejects.toMatchObject({ code: 'WEFT-PLN-020' })
    expect(a.status().placements![0]!.stages.map(({ peer }) => peer)).toEqual(['origin'])
    expect(await answer()).toEqual(before)
    const { counted, profile: their } = a.status().peers[0]!
    expect(their!.memory_quota).toBeGreaterThan(1e10)
    expect(counted!.memory).toBeLessThan(counted!.needed)
    const { why } = await a.plan('tiny', { explain: true })
    expect(why.join('\n')).toContain(`${b.id} counts with ${counted!.memory} bytes, not the ${their!.memory_quota}`)
    expect(a.status().quarantine).toEqual([])
  }, 120_000)
})
