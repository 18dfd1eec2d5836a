/** A peer that has no room for a session is passed over by its first route, as long as somebody else has room. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { StageMemoryError } from '../../src/pipeline/errors.ts'
import { KvFullError } from '../../src/pipeline/host/errors.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest } from '../../src/pipeline/index.ts'
import { Relief } from '../../src/pipeline/origin/relief.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }
const PROMPT = [12, 300, 45, 7]
/** Positions of a session; all that fit have to be there at once. */
const LONG = 250
/** Tokens after which nobody listens any more. */
const COMPARED = 30

let folder: string
let a: LocalPeer
let b: LocalPeer

async function start(name: string, more: Partial<CreatePeerInit>): Promise<LocalPeer> {
  return createPeer({
    home: join(folder, name),
    name,
    network: `relief-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    threads: 1,
    logLevel: 'error',
    ...more,
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-relief-'))
  const reader = await createPeer({ home: join(folder, 'reader'), offline: true, logLevel: 'error' })
  await reader.importModel({ source: TINY, name: 'tiny' })
  const { blocks } = await reader.manifest('tiny')
  await reader.stop()
  const last = blocks.length - 1
  const sum = (field: 'memory' | 'kv_bytes', all: readonly object[]): number =>
    all.reduce<number>((total, block) => total + Number(Reflect.get(block, field)), 0)
  // Room for one session and half of another one.
  const room = 1.5 * LONG * sum('kv_bytes', blocks)
  a = await start('a', {})
  await a.importModel({ source: TINY, name: 'tiny' })
  b = await start('b', {
    bootstrap: a.status().peer.addresses,
    memory: sum('memory', blocks.slice(1, last)) + room,
  })
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  await a.deploy('tiny', {
    model: 'tiny',
    stages: [
      { peer: a.id, from: 0, to: 1 },
      { peer: b.id, from: 1, to: last },
      { peer: a.id, from: last, to: last + 1 },
    ],
  })
}, 120_000)

afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

const request = (more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  model: 'tiny',
  input: { kind: 'ids', ids: PROMPT },
  sampling: GREEDY,
  maxTokens: LONG - PROMPT.length,
  ignoreEnd: true,
  ...more,
})

interface Told {
  readonly ids: readonly number[]
  readonly peers: readonly string[]
}

async function answer(init: GenerateRequest): Promise<Told> {
  const events: GenerateEvent[] = []
  const ids: number[] = []
  for await (const event of a.generate(init)) {
    events.push(event)
    if (event.type === 'token' && ids.push(event.id) === COMPARED) break
  }
  const peers = events.flatMap((event) => (event.type === 'start' ? event.route.map(({ peer }) => peer) : []))
  return { ids, peers }
}

describe('a peer without room for another session', () => {
  it('is passed over, and asked again when it has room', async () => {
    const whole = await answer(request())
    expect(whole.peers).toEqual([a.id, b.id, a.id])
    // Some are turned away while the route is opened, some when all its other stages are open already.
    const moved = (): number => {
      const { retries = 0, failovers = 0 } = a.status().counters
      return retries + failovers
    }
    for (let time = 1; time <= 2; time++) {
      const before = moved()
      const texts = await Promise.all(Array.from({ length: 8 }, () => answer(request())))
      for (const { ids } of texts) expect(ids).toEqual(whole.ids)
      expect(moved()).toBeGreaterThan(before)
    }
    expect((await answer(request())).peers).toEqual(whole.peers)
  }, 60_000)

  it.each([
    ['no room for a session', new KvFullError(2, 1)],
    ['a stage that is left for lack of memory', new StageMemoryError('tiny', 'it was ended', 3, 1)],
  ])('ends the request with its own code where nobody else has any: %s', async (_, full) => {
    const relief = new Relief()
    const route = [{ peer: 'b', from: 0, to: 8 }]
    const attempt = (): Promise<never> => {
      expect(relief.refuses(route[0]!, full)).toBe(true)
      return Promise.reject(new Error('the attempt has ended'))
    }
    const nobody = { ...failover, relieve: () => undefined }
    await expect(relief.open(route, nobody, attempt)).rejects.toBe(full)
  })
})

const failover = {
  replace: () => Promise.resolve(undefined),
  isReachable: () => true,
  kernel: () => '',
  patience: () => 0,
}
