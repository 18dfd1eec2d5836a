/** Heads of audit logs at other peers: a log that its owner wrote anew is found by both. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import {
  auditPlaces,
  checkAuditFile,
  checkExport,
  exportLines,
  loadOrCreateIdentity,
  ownWitnesses,
  readAuditRows,
  witnessedBy,
} from '../../src/trust/index.ts'

const WAIT = { timeout: 40_000, interval: 100 }
let folder: string
const peers = new Set<LocalPeer>()
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-heads-'))
})
afterEach(async () => {
  await Promise.all([...peers].map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

async function start(name: string, bootstrap: readonly string[] = []): Promise<LocalPeer> {
  const peer = await createPeer({
    home: join(folder, name),
    network: `heads-${folder.slice(-6)}`,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    bootstrap,
    threads: 1,
    logLevel: 'error',
  })
  peers.add(peer)
  return peer
}

it('a log that was put back with its anchor is found by the peer that saw its head, and by its own site once they meet', async () => {
  const keeper = await start('keeper')
  const addresses = keeper.status().peer.addresses
  let owner = await start('owner', addresses)
  await vi.waitFor(async () => {
    expect(await ownWitnesses(join(folder, 'owner', 'state'))).toMatchObject([{ by: keeper.id }])
  }, WAIT)
  await owner.stop({ drain: 0 })
  peers.delete(owner)
  const places = auditPlaces(join(folder, 'owner'))
  const { report } = checkAuditFile(owner.id, places, await ownWitnesses(join(folder, 'owner', 'state')))
  expect(report).toMatchObject({ trouble: null, witnesses: [{ by: keeper.id }] })
  // The owner begins its log anew, with its own key, and forgets what others told it.
  for (const path of [places.path, places.anchor]) {
    await copyFile(path, `${path}.was`)
    await rm(path)
  }
  await rm(join(folder, 'owner', 'state', 'audit-heads.json'))
  owner = await start('owner', addresses)
  // By itself it looks well.
  expect(checkAuditFile(owner.id, places, []).report.trouble).toBeNull()
  await vi.waitFor(() => expect(owner.status().counters['audit_alarms']).toBeGreaterThan(0), WAIT)
  await vi.waitFor(async () => {
    expect(await witnessedBy(join(folder, 'keeper', 'state'), owner.id)).not.toEqual([])
  }, WAIT)
  const known = await witnessedBy(join(folder, 'keeper', 'state'), owner.id)
  const identity = await loadOrCreateIdentity({ directory: join(folder, 'owner', 'keys') })
  const exported = [...exportLines(identity, 0, readAuditRows(places.path).rows)].join('\n')
  expect(checkExport(exported, known).report.trouble).not.toBeNull()
  expect(checkExport(exported, []).report.trouble).toBeNull()
  const own = await ownWitnesses(join(folder, 'owner', 'state'))
  expect(checkAuditFile(owner.id, places, own).report.trouble?.why).toContain(keeper.id)
}, 120_000)
