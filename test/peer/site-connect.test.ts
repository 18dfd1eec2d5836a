/** Whom the policy of a site does not let connect: a member is told that it is the policy, a stranger that it is no member. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { homePaths, prepareHome } from '../../src/peer/home.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { Site } from '../../src/peer/site.ts'
import { createTelemetry } from '../../src/telemetry/index.ts'
import { auditPlaces, loadOrCreateIdentity, readAuditRows } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { foundClusterHomes } from './support/cluster-homes.ts'

const WAIT = { timeout: 30_000, interval: 50 }
const RULE = 'only-the-lab'
let folder: string
const peers: LocalPeer[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-connect-'))
})
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.stop({ drain: 0 })))
  await rm(folder, { recursive: true })
})

async function start(name: string, bootstrap: readonly string[] = []): Promise<LocalPeer> {
  const peer = await createPeer({
    home: join(folder, name),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    lan: 'off',
    bootstrap,
    threads: 1,
    logLevel: 'silent',
  })
  peers.push(peer)
  return peer
}
const refusalOf = (peer: LocalPeer, other: string) => peer.status().seen_not_joined.find(({ id }) => id === other)
const isConnected = (peer: LocalPeer, other: string): boolean =>
  peer.status().peers.some(({ id, state }) => id === other && state === 'connected')

it('says so to a member, with the rule at the site alone, and lets it in when the policy does', async () => {
  const { ids } = await foundClusterHomes(folder, [
    { name: 'site', role: 'admin' },
    { name: 'lab', role: 'member' },
    { name: 'visitor', role: 'guest' },
  ])
  const policy = join(folder, 'site', 'policy.json')
  const rules = [
    { name: RULE, deny: ['connect'], roles: ['guest'] },
    { name: 'rest', allow: ['connect', 'relay'] },
  ]
  const write = (now: unknown): Promise<void> =>
    writeFile(policy, JSON.stringify({ schema: 'weft.policy/1', rules: now }), { mode: 0o600 })
  await mkdir(join(folder, 'site'), { recursive: true })
  await write(rules)
  const site = await start('site')
  const bootstrap = site.status().peer.addresses
  const [lab, visitor] = [await start('lab', bootstrap), await start('visitor', bootstrap)]
  await vi.waitFor(() => expect(isConnected(site, ids[1]!)).toBe(true), WAIT)
  await vi.waitFor(() => expect(refusalOf(visitor, ids[0]!)).toMatchObject({ code: 'WEFT-DSC-013' }), WAIT)
  expect(refusalOf(site, ids[2]!)).toMatchObject({ code: 'WEFT-DSC-013', why: expect.stringContaining(RULE) as string })
  expect(JSON.stringify(visitor.status().seen_not_joined)).not.toContain(RULE)
  expect(isConnected(site, ids[2]!)).toBe(false)
  await write(rules.slice(1))
  await vi.waitFor(() => expect(isConnected(site, ids[2]!)).toBe(true), { ...WAIT, timeout: 60_000 })
  // and the other way: who is in is cut off, and told by which code
  await write(rules)
  await vi.waitFor(() => expect(refusalOf(visitor, ids[0]!)).toMatchObject({ code: 'WEFT-DSC-013' }), WAIT)
  expect(isConnected(lab, ids[0]!)).toBe(true)
}, 120_000)

it('is not asked about this peer itself: what it has said comes back to it, whatever others may', async () => {
  const paths = homePaths(join(folder, 'alone'), {})
  await prepareHome(paths)
  const policy = JSON.stringify({ schema: 'weft.policy/1', rules: [] })
  await writeFile(join(paths.root, 'policy.json'), policy, { mode: 0o600 })
  const [clock, random] = [systemClock(), systemRandom()]
  const quiet = (): void => undefined
  const site = await Site.open({
    clock,
    random,
    paths,
    identity: await loadOrCreateIdentity({ directory: paths.keys }),
    logger: { warn: quiet, error: quiet, info: quiet },
    telemetry: createTelemetry({ clock }),
    online: false,
    roleOf: () => 'member',
  })
  const self = (await loadOrCreateIdentity({ directory: paths.keys })).id
  expect([site.admits(self, 'connect'), site.admits('another', 'connect')]).toEqual([true, false])
  site.close()
  const written = readAuditRows(auditPlaces(paths.root).path).rows.map(({ content }) => String(content))
  expect(written.filter((text) => text.includes('decision.connect'))).toEqual([expect.stringContaining('another')])
})
