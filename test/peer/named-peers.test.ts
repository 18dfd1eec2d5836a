/** A placement by hand that names a peer which is away: refused, and what was deployed before stands. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { CreatePeerInit, LocalPeer } from '../../src/peer/index.ts'
import { NamedPeers } from '../../src/peer/named-peers.ts'
import { systemClock } from '../../src/util/index.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))
const WAIT = { timeout: 60_000, interval: 50 }
const AWAY = { code: 'WEFT-PLN-021', info: { exit: 7, http: 503 } }

it('a deploy that names a peer that was here and is gone ends with its code, and changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weft-named-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const start = async (name: string, more: Partial<CreatePeerInit> = {}): Promise<LocalPeer> => {
    const network = `named-${folder.slice(-6)}`
    const listen = ['/ip4/127.0.0.1/tcp/0']
    const home = join(folder, name)
    return createPeer({ home, name, network, listen, lan: 'off', threads: 1, logLevel: 'error', ...more })
  }
  const a = await start('a')
  onTestFinished(() => a.stop({ drain: 0 }))
  const b = await start('b', { bootstrap: a.status().peer.addresses })
  onTestFinished(() => b.stop({ drain: 0 }))
  await a.importModel({ source: TINY, name: 'tiny' })
  await vi.waitFor(() => expect(a.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  const alone = [{ peer: a.id, from: 0, to: 8 }]
  await a.deploy('tiny', { model: 'tiny', stages: alone })
  const standing = (): unknown => a.status().placements?.map(({ epoch, stages }) => ({ epoch, stages }))
  const before = standing()
  await b.stop({ drain: 0 })
  await vi.waitFor(() => expect(a.status().peers[0]?.state).not.toBe('connected'), WAIT)
  const ends = [
    { peer: a.id, from: 0, to: 4 },
    { peer: b.id, from: 4, to: 8 },
  ]
  await expect(a.deploy('tiny', { model: 'tiny', stages: ends })).rejects.toMatchObject(AWAY)
  // Nor may it hold blocks ready.
  const replicas = [{ peer: b.id, from: 4, to: 8 }]
  await expect(a.deploy('tiny', { model: 'tiny', stages: alone, replicas })).rejects.toMatchObject(AWAY)
  expect(standing()).toEqual(before)
}, 120_000)

it('one that is lost while it loads has time to come back, one that nobody named is nobody’s matter', () => {
  const here = new Set(['a'])
  let now = 0
  const named = new NamedPeers(['a', 'b'], (peer) => here.has(peer), { ...systemClock(), now: () => now })
  const look = (at: number): void => {
    now = at
    named.checkLost(['a', 'b', 'c'])
  }
  look(0)
  look(14_000)
  here.add('b')
  look(20_000)
  here.delete('b')
  for (const at of [30_000, 45_000]) look(at)
  expect(() => look(45_001)).toThrow(expect.objectContaining({ code: 'WEFT-PLN-021' }))
})
