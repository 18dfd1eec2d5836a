import { afterEach, describe, expect, test } from 'vitest'
import { ChannelClosedError, frame, PeerUnreachableError } from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { startPeer } from './child.ts'
import { connectedIds, joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const address = (one: Network): string => one.addresses()[0]!
const plain = (one: Network): string => address(one).replace(/\/p2p\/.*/, '')

describe('staying connected', () => {
  test('a peer that starts again on its port is joined again, by whoever had dialled', async () => {
    const identity = newIdentity()
    const first = await pool.add({ identity })
    const listen = [plain(first)]
    const b = await pool.add({ bootstrap: [address(first)] })
    await joined(first, b)
    const events: string[] = []
    b.on({ connecting: () => events.push('connecting'), disconnected: (_peer, why) => events.push(why) })
    for (let round = 0; round < 2; round++) {
      await first.stop()
      await until(() => connectedIds(b).length === 0)
      const again = await pool.add({ identity, listen })
      await joined(again, b)
      await again.stop()
      await until(() => connectedIds(b).length === 0)
      const third = await pool.add({ identity, listen })
      await joined(third, b)
      await third.stop()
    }
    expect(events).toContain('connecting')
    expect(events).toContain('lost')
  })

  test('the one that was dialled dials too when the other is gone and comes back', async () => {
    const identity = newIdentity()
    const a = await pool.add()
    const b = await pool.add({ identity, bootstrap: [address(a)] })
    await joined(a, b)
    const listen = [plain(b)]
    await b.stop()
    // the new run knows nobody: it is found by the one that has met it
    const again = await pool.add({ identity, listen })
    await joined(a, again)
    expect(a.connected()[0]!.direction).toBe('outbound')
  })

  test('a peer that it is not told to keep is dialled when a channel to it is wanted, where it is said to be', async () => {
    const [a, b] = [await pool.add(), await pool.add()]
    b.handle('/weft/wanted/1', 'connect', (channel) => void channel.close())
    await expect(a.open(b.id, '/weft/wanted/1')).rejects.toThrow(PeerUnreachableError)
    const asked: string[] = []
    a.lookUp((peer) => {
      asked.push(peer)
      return peer === b.id ? [address(b)] : []
    })
    expect(connectedIds(a)).toEqual([])
    const channel = await a.open(b.id, '/weft/wanted/1')
    expect([channel.remote, ...connectedIds(a)]).toEqual([b.id, b.id])
    expect(asked).toContain(b.id)
    await expect(a.open(newIdentity().id, '/weft/wanted/1')).rejects.toThrow(PeerUnreachableError)
  })

  test('peers of an earlier run are found again by their addresses', async () => {
    const known: { id: string; addresses: readonly string[] }[] = []
    const a = await pool.add()
    const identity = newIdentity()
    const b = await pool.add({ identity, events: { reachable: (id, addresses) => known.push({ id, addresses }) } })
    b.keep(address(a))
    await joined(a, b)
    await until(() => known.length > 0)
    await b.stop()
    const again = await pool.add({ identity, knownPeers: known })
    await joined(a, again)
  })

  test('two that dial each other at once end with one connection and can both use it', async () => {
    for (let round = 0; round < 2; round++) {
      const a = await pool.add()
      const b = await pool.add()
      const left: string[] = []
      a.on({ disconnected: () => left.push('a') })
      b.on({ disconnected: () => left.push('b') })
      a.keep(address(b))
      b.keep(address(a))
      await joined(a, b)
      expect(await a.ping(b.id, 10)).toBeGreaterThan(0)
      expect(await b.ping(a.id, 10)).toBeGreaterThan(0)
      await new Promise((resolve) => setTimeout(resolve, 1200))
      expect(await a.ping(b.id, 10)).toBeGreaterThan(0)
      expect(a.connected()).toHaveLength(1)
      expect(b.connected()).toHaveLength(1)
      expect(left).toEqual([])
      await a.stop()
      await b.stop()
    }
  })

  test('a frozen process that is watched is lost within 2.5 s, and joins again when it wakes', async () => {
    const child = await startPeer({})
    const a = await pool.add({ bootstrap: [child.addresses[0]!] })
    await until(() => connectedIds(a).includes(child.id))
    const unwatch = a.watch(child.id)
    const gone: { why: string; after: number }[] = []
    await until(() => a.connected()[0]?.rtt !== null)
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const frozenAt = performance.now()
    child.process.kill('SIGSTOP')
    a.on({ disconnected: (_peer, why) => gone.push({ why, after: performance.now() - frozenAt }) })
    await until(() => gone.length > 0)
    child.process.kill('SIGCONT')
    expect(gone[0]!.why).toBe('frozen')
    // the promise is 2.5 s; a machine that is busy with other tests gets a margin
    expect(gone[0]!.after).toBeLessThan(4_000)
    await until(() => connectedIds(a).includes(child.id))
    unwatch()
    expect(await child.stop()).toBe(0)
  })

  test('a peer that is killed is reported lost, and its channels end with a reason', async () => {
    const child = await startPeer({})
    const a = await pool.add({ bootstrap: [child.addresses[0]!] })
    await until(() => connectedIds(a).includes(child.id))
    const channel = await a.open(child.id, '/test/echo/1')
    const why = new Promise((resolve) => a.on({ disconnected: (_peer, reason) => resolve(reason) }))
    child.process.kill('SIGKILL')
    expect(await why).toBe('lost')
    await channel.closed
    await expect(channel.send(frame({ type: 1 }))).rejects.toBeInstanceOf(ChannelClosedError)
  })
})
