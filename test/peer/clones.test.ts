/** A copied home: the third peer that meets both says so, and both hear of it. */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { auditPlaces, checkAuditFile, viewsOf } from '../../src/trust/index.ts'
import type { AuditView } from '../../src/trust/index.ts'

const WAIT = { timeout: 30_000, interval: 50 }
let folder: string
const peers: LocalPeer[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-clones-'))
})
afterEach(async () => {
  await Promise.all(peers.map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

async function start(name: string, bootstrap: readonly string[] = []): Promise<LocalPeer> {
  const peer = await createPeer({
    home: join(folder, name),
    network: `clones-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    bootstrap,
    threads: 1,
    logLevel: 'error',
  })
  peers.push(peer)
  return peer
}

it('is found by whoever meets both, and told to both, with a counter and a line in the audit log', async () => {
  const third = await start('third')
  const original = await start('original', third.status().peer.addresses)
  await vi.waitFor(() => expect(third.status().peers).toMatchObject([{ state: 'connected' }]), WAIT)
  expect(original.status().site!.cloned).toBeNull()
  await cp(join(folder, 'original', 'keys', 'identity.key'), join(folder, 'copy', 'keys', 'identity.key'))
  const copy = await start('copy', third.status().peer.addresses)
  expect(copy.id).toBe(original.id)
  await vi.waitFor(() => {
    expect(original.status().site!.cloned).toMatchObject({ by: third.id })
    expect(copy.status().site!.cloned).toMatchObject({ by: third.id })
  }, WAIT)
  for (const peer of peers) expect(peer.status().counters['identities_cloned']).toBeGreaterThan(0)
  for (const peer of peers) {
    const entries = (): AuditView[] => viewsOf(checkAuditFile(peer.id, auditPlaces(peer.home), []))
    await vi.waitFor(() => {
      const cloned = entries().filter(({ what }) => what === 'peer.cloned')
      expect(cloned.length, peer.home).toBeGreaterThan(0)
      for (const { who } of cloned) expect(who).toBe(`peer:${original.id}`)
    }, WAIT)
  }
  // The one that was there first stays.
  expect(
    third
      .status()
      .peers.filter(({ state }) => state === 'connected')
      .map(({ id }) => id),
  ).toEqual([original.id])
})
