/** Peers that are told nothing but their homes find each other: by files on one machine, by multicast DNS on a LAN. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/util/index.ts'
import { isLong, isWhole } from '../whole.ts'
import { netlabFor } from './netlab.ts'
import { metricsOf, valueOf } from './scraped.ts'
import { createLab, endProcess, joined, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'
import { connectionsOfPairs, HAS_PROC } from './tcp.ts'

const clock = systemClock()
const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** A counter of the peer's, of one value of its label. */
async function counted(peer: RealPeer, counter: string): Promise<number> {
  const value = valueOf(await metricsOf(peer), counter)
  return Number.isNaN(value) ? 0 : value
}

/** Peers found nearby by this way, as the peer itself counts them. */
const found = (peer: RealPeer, by: 'mdns' | 'rendezvous'): Promise<number> =>
  counted(peer, `weft_peers_found_total{by="${by}"}`)

/** From the last `weft.ready/1` to a mesh in which each is connected to each. */
async function timeToMesh(starting: readonly Promise<RealPeer>[]): Promise<[peers: RealPeer[], ms: number]> {
  const peers = await Promise.all(starting)
  const ready = clock.now()
  await joined(peers)
  return [peers, Math.round(clock.now() - ready)]
}

/** Crossed dials are settled within a second or so; then each pair has one connection, and nobody has dialled on. */
async function expectOneConnectionAPair(peers: readonly RealPeer[]): Promise<void> {
  if (HAS_PROC) {
    const pairs = (peers.length * (peers.length - 1)) / 2
    const one = (): boolean => connectionsOfPairs(peers.map(({ pid }) => pid)).every((count) => count === 1)
    await until('each pair has one connection', one)
    expect(connectionsOfPairs(peers.map(({ pid }) => pid))).toEqual(Array<number>(pairs).fill(1))
  }
  let [dials, joins] = [0, 0]
  for (const peer of peers) {
    const { counters } = await peer.access.status()
    dials += await counted(peer, 'weft_dials_total{outcome="ok"}')
    joins += counters['peers_joined'] ?? 0
    expect(counters['peers_lost'], 'nobody that was in has gone').toBe(0)
  }
  // Each join is counted on both sides, and needs one dial that succeeds; where both have dialled at once, two.
  expect(dials).toBeGreaterThanOrEqual((peers.length * (peers.length - 1)) / 2)
  expect(dials).toBeLessThanOrEqual(joins)
}

describe.runIf(isLong)('three peers on one machine, told nothing but their homes', () => {
  let lab: Lab
  beforeAll(async () => void (lab = await createLab()))
  afterAll(() => lab.stop())

  it.runIf(isWhole)(
    'find each other, have one connection a pair, and do so again when one was away',
    async () => {
      const names = ['one', 'two', 'three']
      const [peers, ms] = await timeToMesh(names.map((name) => lab.startBare(name)))
      say(`3 peers on one machine: full mesh ${ms} ms after the last was ready`)
      for (const peer of peers) {
        const ways = (await found(peer, 'mdns')) + (await found(peer, 'rendezvous'))
        expect(ways).toBeGreaterThanOrEqual(2)
      }
      await expectOneConnectionAPair(peers)

      await endProcess(peers[2]!.child)
      const [again] = await timeToMesh([Promise.resolve(peers[0]!), Promise.resolve(peers[1]!), lab.startBare('three')])
      expect(again[2]!.id).toBe(peers[2]!.id)
    },
    120_000,
  )
})

const { why, netlab, on } = netlabFor('join')

describe.skipIf(why !== undefined || !isLong)(
  `five hosts on one LAN${why === undefined ? '' : ` (skipped: ${why})`}`,
  () => {
    let lab: Lab
    beforeAll(async () => {
      netlab('up', '5', '--rtt', '2')
      lab = await createLab()
    })
    afterAll(async () => {
      await lab.stop()
      netlab('down')
    })

    it('find each other by multicast DNS and nothing else, with one connection a pair', async () => {
      const hosts = [1, 2, 3, 4, 5]
      const [peers, ms] = await timeToMesh(hosts.map((host) => lab.startBare(`host-${host}`, on(host))))
      say(`5 hosts on one LAN: full mesh ${ms} ms after the last was ready`)
      for (const peer of peers) {
        expect([await found(peer, 'mdns'), await found(peer, 'rendezvous')]).toEqual([4, 0])
        expect((await peer.access.status()).seen_not_joined).toEqual([])
      }
      await expectOneConnectionAPair(peers)
    }, 120_000)
  },
)
