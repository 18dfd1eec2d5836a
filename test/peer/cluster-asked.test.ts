/** What a member of a cluster is told by others: one that has heard no admin, a placement that came to nothing, and names in place of ids. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { namedPlacement } from '../../src/cli/named-placement.ts'
import type { PeerAccess } from '../../src/cli/peer-access.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { PlacementStage } from '../../src/pipeline/index.ts'
import { foundClusterHomes } from './support/cluster-homes.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }

let folder: string
let ids: readonly string[]
const running: LocalPeer[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-asked-'))
  ;({ ids } = await foundClusterHomes(folder, [
    { name: 'admin', role: 'admin' },
    { name: 'bob', role: 'member' },
    { name: 'dora', role: 'member' },
  ]))
})
afterEach(async () => {
  for (const peer of running.splice(0)) await peer.stop({ drain: 0 })
  await rm(folder, { recursive: true })
})

async function start(name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> {
  const bootstrap = running.flatMap((peer) => peer.status().peer.addresses)
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const home = join(folder, name)
  const peer = await createPeer({ home, listen, bootstrap, lan: 'off', threads: 1, logLevel: 'error', ...more })
  running.push(peer)
  return peer
}

async function connected(peer: LocalPeer, ...others: readonly LocalPeer[]): Promise<void> {
  await vi.waitFor(() => {
    const here = peer.status().peers.filter(({ state }) => state === 'connected')
    expect(here.map(({ id }) => id)).toEqual(expect.arrayContaining(others.map(({ id }) => id)) as string[])
  }, WAIT)
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'it was done',
    (error: { code?: unknown; message?: unknown }) => error.code ?? error.message,
  )
}

async function answer(peer: LocalPeer, stages: readonly PlacementStage[]): Promise<number> {
  let tokens = 0
  const placement = { model: 'tiny', stages: [...stages] }
  const input = { kind: 'text', text: 'The whale' } as const
  for await (const event of peer.generate({ model: 'tiny', input, sampling: GREEDY, maxTokens: 4, placement }))
    if (event.type === 'token') tokens++
  return tokens
}

/** Of a peer in this process, as commands have it. */
function accessTo(peer: LocalPeer): PeerAccess {
  const cluster = (action: Parameters<PeerAccess['cluster']>[0]): ReturnType<PeerAccess['cluster']> =>
    peer.cluster!.run(action)
  return { status: () => Promise.resolve(peer.status()), cluster } as unknown as PeerAccess
}

describe('a member', () => {
  it('that has heard no admin for longer than it may computes for nobody, and those that ask go on without it', async () => {
    // no admin is up
    const bob = await start('bob')
    await bob.importModel({ source: TINY, name: 'tiny' })
    const dora = await start('dora', { maxAge: 1 })
    await connected(bob, dora)
    await connected(dora, bob)
    const stages = [
      { peer: bob.id, from: 0, to: 4 },
      { peer: dora.id, from: 4, to: 8 },
    ]
    expect(await answer(bob, stages)).toBe(4)
    expect(dora.status().counters).toMatchObject({ sessions_opened: 0, rows: 0 })
    // whoever has not the blocks, and may not fetch them, is told
    await expect(dora.deploy('tiny', { model: 'tiny', stages })).rejects.toMatchObject({ code: 'WEFT-TRU-114' })
  }, 240_000)

  it('whose placement came to nothing has the one before it back, also at others', async () => {
    const admin = await start('admin', { memory: 1 })
    const bob = await start('bob')
    await connected(admin, bob)
    await connected(bob, admin)
    await bob.importModel({ source: TINY, name: 'tiny' })
    const whole = [{ peer: bob.id, from: 0, to: 8 }]
    await bob.deploy('tiny', { model: 'tiny', stages: whole })
    const standing = (peer: LocalPeer): unknown => peer.status().placements?.map(({ stages }) => stages)
    await vi.waitFor(() => expect(standing(admin)).toEqual([whole]), WAIT)
    const there = [
      { peer: bob.id, from: 0, to: 4 },
      { peer: admin.id, from: 4, to: 8 },
    ]
    // of what has no room it is told why, and what it was is published again
    expect(await codeOf(bob.deploy('tiny', { model: 'tiny', stages: there }))).toMatch(/^WEFT-PLN-/)
    expect(standing(bob)).toEqual([whole])
    await vi.waitFor(() => expect(standing(admin)).toEqual([whole]), WAIT)
    expect(await answer(bob, whole)).toBe(4)
  }, 120_000)

  it('is meant by its name or a part of its id in a placement; what fits nobody is refused as such', async () => {
    const [admin, bob] = [await start('admin'), await start('bob')]
    await connected(admin, bob)
    await admin.importModel({ source: TINY, name: 'tiny' })
    const named = (...names: readonly string[]): PlacementStage[] =>
      names.map((peer, n) => ({ peer, from: (n * 8) / names.length, to: ((n + 1) * 8) / names.length }))
    const withIds = async (...names: readonly string[]): Promise<readonly string[]> => {
      const file = { model: 'tiny', stages: named(...names), replicas: named(...names) }
      const got = await namedPlacement(accessTo(admin), file, AbortSignal.timeout(60_000))
      if (typeof got !== 'object') throw new Error('it is a file no more')
      expect(got.replicas).toEqual(got.stages)
      return got.stages.map(({ peer }) => peer)
    }
    const [, , dora] = ids as [string, string, string]
    const short = `${bob.id.slice(0, 4)}…${bob.id.slice(-8)}`
    // dora is a member that is not up: known by the log
    expect(await withIds('bob', 'admin', 'origin', bob.id, short, dora.slice(-12), 'dora', 'nobody')).toEqual([
      bob.id,
      admin.id,
      'origin',
      bob.id,
      bob.id,
      dora,
      dora,
      'nobody',
    ])
    const stages = (await withIds('admin', 'bob')).map((peer, n) => ({ peer, from: n * 4, to: n * 4 + 4 }))
    expect(await admin.deploy('tiny', { model: 'tiny', stages })).toMatchObject({ stages })
    expect(await codeOf(admin.deploy('tiny', { model: 'tiny', stages: named('admin', 'nobody') }))).toBe('WEFT-PLN-006')
    const stranger = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5'
    expect(await codeOf(admin.deploy('tiny', { model: 'tiny', stages: named('admin', stranger) }))).toBe('WEFT-TRU-110')
  }, 120_000)
})
