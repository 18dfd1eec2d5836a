/**
 * Peers behind translators (masquerade) in network namespaces, and one outside that carries for them: root and Linux only. Nobody
 * can dial either of them, and they are to have a direct connection all the same.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { netlabFor } from '../integration/netlab.ts'
import { startPeer } from './child.ts'
import type { PeerProcess } from './child.ts'
import { until } from './helpers.ts'

const { why: noLab, netlab, on: atHost } = netlabFor('h')
const why = noLab ?? (spawnSync('nft', ['--version']).status === 0 ? undefined : 'nft is not installed')
const RELAY = 1
const TRANSLATORS = [2, 3] as const
const lab = why === undefined ? atHost(1).at(-1)!.replace(/-1$/, '') : ''
const inside = (host: number): string => `${lab}-in${host}`
const peers: PeerProcess[] = []

function sh(...command: string[]): void {
  execFileSync(command[0]!, command.slice(1), { stdio: 'pipe' })
}

/** A network of its own behind this host, which has an address for all of it. */
function translate(host: number): void {
  const [outer, inner] = [`${lab}-${host}`, inside(host)]
  sh('ip', 'netns', 'add', inner)
  sh('ip', 'link', 'add', 'home', 'netns', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inner)
  sh('ip', '-n', outer, 'addr', 'add', `192.168.${host}.1/24`, 'dev', 'home')
  sh('ip', '-n', inner, 'addr', 'add', `192.168.${host}.2/24`, 'dev', 'eth0')
  for (const [space, device] of [
    [outer, 'home'],
    [inner, 'eth0'],
    [inner, 'lo'],
  ] as const)
    sh('ip', '-n', space, 'link', 'set', device, 'up')
  sh('ip', '-n', inner, 'route', 'add', 'default', 'via', `192.168.${host}.1`)
  sh('ip', 'netns', 'exec', outer, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
}

/** @param how of `masquerade`; @param unasked what becomes of packets that nobody asked for: `drop`, or a reset of the kernel's */
function rules(host: number, how: string, unasked: 'drop' | 'accept'): void {
  const text = `
    flush ruleset
    table ip t {
      chain leaving { type nat hook postrouting priority 100; oifname "eth0" masquerade ${how}; }
      chain arriving { type filter hook input priority 0; policy accept; iifname "eth0" ct state new ${unasked}; }
      chain passing { type filter hook forward priority 0; policy accept; iifname "eth0" ct state new drop; }
    }`
  execFileSync('ip', ['netns', 'exec', `${lab}-${host}`, 'nft', '-f', '-'], { input: text, stdio: 'pipe' })
}

async function behind(host: number, ...known: readonly string[]): Promise<PeerProcess> {
  const init = { bootstrap: known, listen: [], ways: true }
  const peer = await startPeer(init, ['ip', 'netns', 'exec', inside(host)])
  peers.push(peer)
  return peer
}

async function outside(): Promise<PeerProcess> {
  const relay = await startPeer({ listen: ['/ip4/10.77.0.1/tcp/0'] }, atHost(RELAY))
  peers.push(relay)
  return relay
}

/** The second knows the first by its place at the relay. */
async function both(relay: PeerProcess): Promise<readonly [PeerProcess, PeerProcess]> {
  const [way] = relay.addresses as [string]
  const a = await behind(2, way)
  await until(() => sees(a, relay.id))
  return [a, await behind(3, way, `${way}/p2p-circuit/p2p/${a.id}`)]
}

const waysOf = (peer: PeerProcess): readonly string[] =>
  (peer.events.findLast(({ event }) => event === 'ways')?.value ?? []) as string[]
const sees = (one: PeerProcess, way: string): boolean => waysOf(one).includes(way)
const hasHad = (one: PeerProcess, way: string): boolean =>
  one.events.some(({ event, value }) => event === 'ways' && (value as string[]).includes(way))

describe.skipIf(why !== undefined)(`two behind translators${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  beforeAll(() => {
    netlab('up', '3', '--rtt', '20')
    for (const host of TRANSLATORS) translate(host)
  })
  afterAll(() => {
    for (const host of TRANSLATORS) sh('ip', 'netns', 'del', inside(host))
    netlab('down')
  })
  afterEach(async () => void (await Promise.all(peers.splice(0).map((peer) => peer.stop()))))

  test.each(['drop', 'accept'] as const)(
    'meet directly, after they were reached through the relay, where what was not asked for meets %s',
    { timeout: 120_000 },
    async (unasked) => {
      for (const host of TRANSLATORS) rules(host, '', unasked)
      const relay = await outside()
      const [a, b] = await both(relay)
      await until(() => sees(a, b.id) && sees(b, a.id))
      expect([hasHad(a, `~${b.id}`), hasHad(b, `~${a.id}`)]).toContain(true)
      for (const { events } of [a, b]) expect(events).toContainEqual({ event: 'count', value: 'holes_punched' })
    },
  )

  test('stay on the relay where each connection leaves from another port', { timeout: 120_000 }, async () => {
    for (const host of TRANSLATORS) rules(host, 'random', 'drop')
    const relay = await outside()
    const [a, b] = await both(relay)
    await until(() => sees(a, `~${b.id}`) && sees(b, `~${a.id}`))
    expect(sees(a, relay.id)).toBe(true)
  })
})
