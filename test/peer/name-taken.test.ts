/** Placements that nobody would ever load, or that nobody waits for any more: what was deployed before stands. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }
let [folder, a, b] = ['', {} as LocalPeer, {} as LocalPeer]

const start = (name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> => {
  const [network, home] = [`taken-${folder.slice(-6)}`, join(folder, name)]
  const listen = ['/ip4/127.0.0.1/tcp/0']
  return createPeer({ home, name, network, listen, lan: 'off', threads: 1, logLevel: 'error', ...more })
}
/** Over all that there are, in proportion to speed. */
const planned = async (): Promise<string[]> =>
  (await a.plan('tiny', { objective: 'spread' })).stages.map(({ peer }) => peer)
const stands = (): unknown => a.status().placements?.map(({ stages }) => stages)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-taken-'))
  a = await start('a')
  await a.importModel({ source: TINY, name: 'tiny' })
  b = await start('b', { bootstrap: a.status().peer.addresses })
  await vi.waitFor(async () => expect(await planned()).toContain(b.id), WAIT)
  // Of other weights: another model.
  await b.importModel({ source: TINY, name: 'tiny', weights: 'f32', measure: 'never' })
  await a.deploy('tiny', { model: 'tiny', stages: [{ peer: a.id, from: 0, to: 8 }] })
}, 120_000)
afterAll(async () => {
  await Promise.all([a, b].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

it('a deploy on a peer that has another model of this name is refused at once, and a chosen one goes without it', async () => {
  await vi.waitFor(async () => expect(await planned()).not.toContain(b.id), WAIT)
  const before = stands()
  const stages = [
    { peer: a.id, from: 0, to: 4 },
    { peer: b.id, from: 4, to: 8 },
  ]
  const refused = {
    code: 'WEFT-PLN-022',
    message: expect.stringContaining(b.id) as string,
    info: { exit: 2, http: 409 },
  }
  await expect(a.deploy('tiny', { model: 'tiny', stages })).rejects.toMatchObject(refused)
  expect(stands()).toEqual(before)
  const chosen = await a.deploy('tiny', 'spread')
  expect(chosen.stages.map(({ peer }) => peer)).not.toContain(b.id)
}, 60_000)

it('a deploy that is given up while it loads leaves what stood before', async () => {
  await a.deploy('tiny', { model: 'tiny', stages: [{ peer: a.id, from: 0, to: 8 }] })
  const before = stands()
  const halves = [
    { peer: a.id, from: 0, to: 3 },
    { peer: a.id, from: 3, to: 8 },
  ]
  const given = new AbortController()
  const published: unknown[] = []
  const onProgress = (): void => {
    published.push(stands())
    given.abort(new Error('enough'))
  }
  await expect(a.deploy('tiny', { model: 'tiny', stages: halves }, onProgress, given.signal)).rejects.toThrow('enough')
  expect(published).toEqual([[halves]])
  await vi.waitFor(() => expect(stands()).toEqual(before), WAIT)
}, 60_000)
