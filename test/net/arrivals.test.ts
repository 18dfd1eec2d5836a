/** How many connections may begin at a door: by host, whatever identities come, and whoever crowds. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createArrivals } from '../../src/net/arrivals.ts'
import type { Arrivals } from '../../src/net/arrivals.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  return pool.stopAll()
})

const letIn = (arrivals: Arrivals, hosts: readonly string[]): number =>
  hosts.filter((host) => arrivals.arrives(host)).length
const crowd = (hosts: number, times: number): string[] =>
  Array.from({ length: hosts * times }, (_, n) => `10.0.${n % hosts}.1`)

describe('connections that begin', () => {
  test('of hosts that come again and again are let in by the second, all of them together, and fewer in a storm', async () => {
    const clock = virtualClock()
    const arrivals = createArrivals({ clock })
    letIn(arrivals, crowd(100, 20))
    const inSeconds = async (seconds: number, times: number): Promise<number> => {
      let few = 0
      for (let second = 0; second < seconds; second++) {
        await clock.advance(1_000)
        few += letIn(arrivals, crowd(100, 1).slice(0, times))
      }
      return few
    }
    expect(await inSeconds(10, 100)).toBe(5)
    // some that come often are no storm
    await inSeconds(20, 4)
    expect(await inSeconds(10, 4)).toBe(20)
    // and a newcomer beside them is let in at once
    expect(letIn(arrivals, ['192.0.2.1', '192.0.2.1'])).toBe(2)
  })

  test('of a thousand hosts at once do not keep out the hosts of those who are in', async () => {
    const clock = virtualClock()
    const arrivals = createArrivals({ clock })
    arrivals.knows('192.0.2.7')
    expect(letIn(arrivals, crowd(200, 5))).toBe(64)
    expect(letIn(arrivals, ['192.0.2.1'])).toBe(0)
    expect(letIn(arrivals, ['192.0.2.7', '192.0.2.7'])).toBe(2)
    // a newcomer's own tries follow each other ever more slowly, and the budget comes back
    await clock.advance(1_000)
    expect(letIn(arrivals, ['192.0.2.1'])).toBe(1)
  })

  test('of a host that is known are bounded too, and a host that nobody was at for a day is not known any more', async () => {
    const clock = virtualClock()
    const counted: string[] = []
    const arrivals = createArrivals({ clock, telemetry: { count: (name) => void counted.push(name) } })
    arrivals.knows('192.0.2.7')
    const often = Array.from({ length: 300 }, () => '192.0.2.7')
    expect(letIn(arrivals, often)).toBe(128)
    expect(counted).toEqual(Array.from({ length: 172 }, () => 'arrivals_refused'))
    await clock.advance(1_000)
    expect(letIn(arrivals, often)).toBe(2)
    // a storm is over some seconds after its last
    await clock.advance(10_000)
    expect(letIn(arrivals, often.slice(0, 80))).toBe(80)
    // whoever is let in has taken nothing; who is seen again gives nothing back, and nor does who is let in elsewhere
    for (let n = 0; n < 20; n++) {
      arrivals.knows('192.0.2.7')
      arrivals.letIn('192.0.2.9')
    }
    expect(letIn(arrivals, often)).toBe(0)
    for (let n = 0; n < 20; n++) arrivals.letIn('192.0.2.7')
    expect(letIn(arrivals, often)).toBe(20)
    await clock.advance(24 * 3_600_000)
    // ten as one that comes seldom, the others out of what all share that come often
    expect(letIn(arrivals, often)).toBe(10 + 64)
  })

  test('at once shake hands one after another, the first without a wait', async () => {
    const clock = virtualClock()
    const counted: string[] = []
    const arrivals = createArrivals({ clock, telemetry: { count: (name) => void counted.push(name) } })
    const begun: number[] = []
    const come = (): void => void arrivals.turn('192.0.2.1').then(() => begun.push(clock.now()))
    const from = clock.now()
    for (let n = 0; n < 4; n++) come()
    await clock.advance(1_000)
    come()
    await clock.advance(1_000)
    expect(begun.map((at) => at - from)).toEqual([0, 8, 16, 24, 1_000])
    expect(counted).toEqual(Array.from({ length: 3 }, () => 'handshakes_queued'))
  })

  test('in a storm leave more time between strangers, and none more before those of a known host', async () => {
    const clock = virtualClock()
    const arrivals = createArrivals({ clock })
    arrivals.knows('192.0.2.7')
    letIn(arrivals, crowd(200, 5))
    const begun: Record<string, number[]> = { '192.0.2.7': [], '10.0.1.1': [] }
    const from = clock.now()
    for (let n = 0; n < 3; n++)
      for (const [host, times] of Object.entries(begun))
        void arrivals.turn(host).then(() => times.push(clock.now() - from))
    await clock.advance(1_000)
    expect(begun).toEqual({ '192.0.2.7': [0, 8, 16], '10.0.1.1': [0, 32, 64] })
  })

  test('by made-up hosts cost no memory', () => {
    const arrivals = createArrivals({ clock: virtualClock() })
    for (let n = 0; n < 20_000; n++) arrivals.knows(`host-${n}`)
    // of the longest ago it is forgotten that they were known: they share a budget now
    const often = (host: string): number =>
      letIn(
        arrivals,
        Array.from({ length: 200 }, () => host),
      )
    expect([often('host-19999'), often('host-0'), often('host-1')]).toEqual([128, 64 + 10, 10])
  })
})

test.skipIf(process.platform !== 'linux')(
  'a host that opens connection after connection and says nothing is turned away, and members beside it join (skipped: it comes from a loopback of its own)',
  async () => {
    const counted: Record<string, number> = {}
    const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
    const a = await pool.add({ telemetry: { count, observe: () => undefined } })
    const bootstrap = [a.addresses()[0]!]
    await joined(a, await pool.add({ bootstrap }))
    const port = Number(/\/tcp\/(\d+)/.exec(bootstrap[0]!)![1])
    let closed = 0
    for (let n = 0; n < 300; n++) {
      const socket = connect({ port, host: '127.0.0.1', localAddress: '127.9.0.1' })
      socket.on('error', () => undefined).on('close', () => closed++)
      sockets.push(socket)
    }
    await until(() => closed >= 100)
    expect(counted['arrivals_refused']).toBeGreaterThanOrEqual(100)
    // eight that are let in and come at once: each in its turn
    await Promise.all(Array.from({ length: 8 }, async () => joined(a, await pool.add({ bootstrap }))))
    expect(counted['handshakes_queued']).toBeGreaterThan(0)
    await joined(a, await pool.add({ bootstrap }))
  },
)
