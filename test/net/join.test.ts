import { afterEach, describe, expect, test } from 'vitest'
import { frame, ProtocolUnsupportedError } from '../../src/net/index.ts'
import type { Frame } from '../../src/net/index.ts'
import { joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

describe('joining', () => {
  test('by a named address: both sides know the other, its name and version', async () => {
    const a = await pool.add({ name: 'anna' })
    const b = await pool.add({ name: 'bert', bootstrap: [a.addresses()[0]!] })
    await joined(a, b)
    expect(b.connected()[0]).toMatchObject({ id: a.id, name: 'anna', version: '0.0.0-test', direction: 'outbound' })
    expect(a.connected()[0]).toMatchObject({ id: b.id, name: 'bert', direction: 'inbound', protocol: 1 })
    expect(a.connected()[0]!.addresses[0]).toBe(b.addresses()[0]!.replace(/\/p2p\/.*/, ''))
    expect(a.refusals()).toEqual([])
    await until(() => a.connected()[0]?.rtt !== null && b.connected()[0]?.rtt !== null)
  })

  test('carries frames both ways on a channel, and a second one', async () => {
    const a = await pool.add()
    const b = await pool.add({ bootstrap: [a.addresses()[0]!] })
    await joined(a, b)
    a.handle('/test/echo/1', 'compute', (channel) => channel.onFrame((got) => channel.send({ ...got, flags: 7 })))
    for (let round = 0; round < 2; round++) {
      const channel = await b.open(a.id, '/test/echo/1')
      const answer = new Promise<Frame>((resolve) => channel.onFrame((got) => resolve(got)))
      await channel.send(
        frame({ type: 3, request: round, dtype: 4, dims: [5], payload: new Uint8Array([1, 2, 3, 4, 5]) }),
      )
      expect(await answer).toMatchObject({
        type: 3,
        request: round,
        flags: 7,
        payload: new Uint8Array([1, 2, 3, 4, 5]),
      })
      await channel.close()
      expect(await channel.closed).toBeUndefined()
    }
    await expect(b.open(a.id, '/test/nobody/1')).rejects.toBeInstanceOf(ProtocolUnsupportedError)
    expect(await b.ping(a.id, 2048)).toBeGreaterThan(0)
    expect(await b.ping(a.id, 0)).toBeGreaterThan(0)
  })
})
