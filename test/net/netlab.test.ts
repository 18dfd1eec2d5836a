/** Hosts in network namespaces (shared/netlab): root and Linux only. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startPeer } from './child.ts'
import type { PeerProcess } from './child.ts'
import { until } from './helpers.ts'

const NETLAB = fileURLToPath(new URL('../../../shared/netlab/netlab', import.meta.url))
const LAB = `weft${process.pid % 10_000}`

function obstacle(): string | undefined {
  if (!existsSync(NETLAB)) return 'shared/netlab is not here'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const tool of ['ip', 'cc', 'awk'])
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed`
  return spawnSync('unshare', ['-n', 'true']).status === 0 ? undefined : 'network namespaces are not allowed here'
}

const why = obstacle()
const netlab = (...args: string[]): string =>
  execFileSync(NETLAB, args, { env: { ...process.env, NETLAB: LAB }, encoding: 'utf8', stdio: 'pipe' })
const peers: PeerProcess[] = []
const on = async (host: number, init: object): Promise<PeerProcess> => {
  const peer = await startPeer({ listen: [], discovery: true, ...init }, ['ip', 'netns', 'exec', `${LAB}-${host}`])
  peers.push(peer)
  return peer
}
const allJoined = (group: readonly PeerProcess[]): boolean =>
  group.every((one) => group.every((other) => one === other || one.connected().includes(other.id)))

describe.skipIf(why !== undefined)(`hosts on a network${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  beforeAll(() => void netlab('up', '5', '--rtt', '4'))
  afterAll(() => void netlab('down'))
  afterEach(async () => void (await Promise.all(peers.splice(0).map((peer) => peer.stop()))))

  test('find each other with no argument, two networks at once without mixing', async () => {
    const key = { networkKey: '11'.repeat(32) }
    const all = await Promise.all([on(1, {}), on(2, {}), on(3, {}), on(4, key), on(5, key)])
    const [open, keyed] = [all.slice(0, 3), all.slice(3)]
    const second = await on(1, {})
    await until(() => allJoined([...open, second]) && allJoined(keyed))
    for (const one of keyed) expect(one.connected()).toHaveLength(1)
    for (const one of open) expect(one.connected()).toHaveLength(3)
    expect(second.addresses[0]).not.toBe(open[0]!.addresses[0])
    expect(open[0]!.addresses[0]).toContain('/ip4/10.77.0.1/tcp/7334/')
  })

  test('find each other over a link that loses packets, and again after a cut', { timeout: 150_000 }, async () => {
    netlab('link', '2', '--rtt', '30', '--loss', '5')
    const [a, b] = await Promise.all([on(1, { watch: true }), on(2, { watch: true })])
    await until(() => allJoined([a, b]))
    netlab('link', '2', '--rtt', '30', '--loss', '100')
    await until(() => a.connected().length === 0 && b.connected().length === 0)
    netlab('link', '2', '--rtt', '30')
    await until(() => allJoined([a, b]))
  })

  test('tell their new addresses when an interface gets one, and are found there', async () => {
    const a = await on(3, {})
    execFileSync('ip', ['-n', `${LAB}-3`, 'addr', 'add', '10.77.0.103/24', 'dev', 'eth0'])
    await until(() =>
      a.events.some(
        ({ event, value }) => event === 'addresses' && (value as string[]).some((one) => one.includes('.103/')),
      ),
    )
    execFileSync('ip', ['-n', `${LAB}-3`, 'addr', 'del', '10.77.0.3/24', 'dev', 'eth0'])
    execFileSync('ip', ['-n', `${LAB}-3`, 'addr', 'replace', '10.77.0.103/24', 'dev', 'eth0'])
    await until(() =>
      a.events.some(
        ({ event, value }) => event === 'addresses' && !(value as string[]).some((one) => one.includes('.3/')),
      ),
    )
    const b = await on(4, {})
    await until(() => allJoined([a, b]))
  })
})
