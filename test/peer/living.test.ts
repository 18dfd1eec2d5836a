/**
 * Placements that move: real peers in this process, with stage hosts of their own, and what they have measured before lying on
 * their disks, so that one is faster than another by as much as the test wants.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { writeMeasures } from '../../src/peer/profile-cache.ts'
import { alive } from '../integration/support.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest } from '../../src/pipeline/index.ts'
import { isWhole } from '../whole.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const DIGEST = '2d697c1b801b982eb5678bb2b753cb4bbcfc1952be44d882ba49cfc251e62ad2'
const WAIT = { timeout: 90_000, interval: 50 }
/** Embedding and head, and no decoder block. */
const ENDS = 1_200_000
const LONG = 40
const VERY_LONG = 400

let folder: string
const peers: LocalPeer[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-living-'))
})
afterAll(async () => {
  await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

/** @param blockMs that it has measured for a block of the model */
async function start(name: string, blockMs: number, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  const home = join(folder, name)
  await mkdir(join(home, 'state'), { recursive: true, mode: 0o700 })
  const kernel = createOrtEngine().kernelId
  await writeMeasures(join(home, 'state'), {
    // Whoever has no manifest of the model is judged by its kernels and its memory.
    trial: { speed: 5e8 / blockMs, kernel, bandwidth: 5e9 / blockMs, load: loadavg()[0] ?? 0 },
    models: [{ digest: DIGEST, one: blockMs, prefill: blockMs, batch: [] }],
  })
  const [first] = peers
  const peer = await createPeer({
    home,
    name,
    network: `living-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: first?.status().peer.addresses ?? [],
    lan: 'off',
    threads: 1,
    logLevel: 'error',
    replanQuiet: 0,
    ...more,
  })
  peers.push(peer)
  await vi.waitFor(() => {
    for (const one of peers)
      expect(one.status().peers.filter(({ state, profile }) => state === 'connected' && profile !== null)).toHaveLength(
        peers.length - 1,
      )
  }, WAIT)
  return peer
}

const ask = (maxTokens: number): GenerateRequest => ({
  model: 'tiny',
  input: { kind: 'ids', ids: [960, 1504, 77] },
  sampling: { ...GREEDY, temperature: 0.9, topK: 40, seed: 5 },
  maxTokens,
  ignoreEnd: true,
  deadline: 60_000,
})

interface Answer {
  readonly ids: readonly number[]
  readonly route: readonly string[]
}

async function answer(peer: LocalPeer, maxTokens = 12, each?: (event: GenerateEvent) => unknown): Promise<Answer> {
  let route: readonly string[] = []
  for await (const event of peer.generate(ask(maxTokens))) {
    await each?.(event)
    if (event.type === 'start') route = event.route.map((hop) => hop.peer)
    if (event.type === 'end') return { ids: event.ids, route }
  }
  throw new Error('the answer has no end')
}

const counter = (peer: LocalPeer, name: string): number => peer.status().counters[name] ?? 0

/** As a processor of which it gets a tenth: it runs and stands still by turns. @returns how to end that */
function throttle(pid: number): () => void {
  const child = spawn(process.execPath, ['-e', THROTTLE, String(pid)], { stdio: 'ignore' })
  return () => {
    child.kill('SIGKILL')
    if (alive(pid)) process.kill(pid, 'SIGCONT')
  }
}

const THROTTLE = `
  const pid = Number(process.argv[1])
  const turn = (signal, ms) => {
    process.kill(pid, signal)
    setTimeout(() => turn(signal === 'SIGSTOP' ? 'SIGCONT' : 'SIGSTOP', signal === 'SIGSTOP' ? 8 : 120), ms)
  }
  turn('SIGSTOP', 120)
`

describe('placements live', () => {
  let home: LocalPeer
  let slow: LocalPeer
  let fast: LocalPeer
  /** Of a peer that computes all by itself. */
  let alone: Answer

  const stage = (): string | undefined => home.status().placements?.[0]?.stages[1]?.peer

  beforeAll(async () => {
    ;[home, slow] = [await start('home', 1, { memory: ENDS }), await start('slow', 20)]
    await home.importModel({ source: TINY, name: 'tiny' })
    await using one = await createPeer({ home: join(folder, 'one'), offline: true, threads: 1, logLevel: 'error' })
    await one.importModel({ source: TINY, name: 'tiny' })
    alone = await answer(one, isWhole ? VERY_LONG : LONG)
    await home.deploy('tiny', 'latency')
  }, 180_000)

  it('a faster peer joins, and is given the blocks: it fetches them, and only then serves', async () => {
    const routes: (string | undefined)[] = []
    // So few tokens that what was measured before goes on to count.
    const short = async (): Promise<void> => {
      const { ids, route } = await answer(home, 2)
      expect(ids).toEqual(alone.ids.slice(0, 2))
      routes.push(route[1])
    }
    await short()
    const history: (string | undefined)[][] = []
    home.onEvent(({ event }) => {
      const [placement] = home.status().placements ?? []
      if (event === 'placement.changed') history.push([placement?.stages[1]?.peer, placement?.replicas[0]?.peer])
    })
    fast = await start('fast', 0.01)
    await vi.waitFor(() => expect(stage()).toBe(fast.id), WAIT)
    // It was loaded beside the one that served, and stood when it was ready.
    expect(history).toContainEqual([slow.id, fast.id])
    expect(history.findIndex(([at]) => at === fast.id)).toBeGreaterThan(history.findIndex(([at]) => at === slow.id))
    expect(history).toContainEqual([fast.id, slow.id])
    expect(counter(fast, 'blobs_received')).toBeGreaterThan(0)
    const { ids, route } = await answer(home, LONG)
    expect(ids).toEqual(alone.ids.slice(0, LONG))
    expect([...routes, route[1]]).toEqual([slow.id, fast.id])
    const sum = (name: string): number => peers.reduce((total, peer) => total + counter(peer, name), 0)
    expect(sum('replans')).toBeGreaterThanOrEqual(2)
    expect(sum('moves_bytes')).toBeGreaterThan(0)
  }, 180_000)

  it.runIf(isWhole)(
    'one becomes slow in the middle of an answer, which goes on at another; and it is looked at again',
    async () => {
      const spare = await start('spare', 0.05)
      const host = fast.status().stages.find(({ peer }) => peer === fast.id)!.pid
      let release: (() => void) | undefined
      const reroutes: GenerateEvent[] = []
      let tokens = 0
      const slowed = await answer(home, VERY_LONG, (event) => {
        if (event.type === 'token' && ++tokens === 20) release = throttle(host)
        if (event.type === 'reroute') reroutes.push(event)
      })
      release?.()
      expect(slowed.ids).toEqual(alone.ids)
      expect(reroutes).toMatchObject([{ lost: [fast.id], route: [{}, { peer: spare.id }, {}], exact: true }])
      expect(counter(home, 'hand_overs')).toBe(1)
      expect(stage()).toBe(spare.id)
      // It stays ready where it was, is not banned, and is asked for a few tokens now and then.
      expect(home.status().placements?.[0]?.replicas).toEqual([{ peer: fast.id, from: 1, to: 7 }])
      await vi.waitFor(() => expect(counter(home, 'speed_probes')).toBeGreaterThan(0), WAIT)
      expect((await answer(home, LONG)).ids).toEqual(alone.ids.slice(0, LONG))
    },
    240_000,
  )
})
