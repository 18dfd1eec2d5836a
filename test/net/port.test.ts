import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { BadAddressError, NetworkStoppedError } from '../../src/net/index.ts'
import type { Network } from '../../src/net/index.ts'
import { startPeer } from './child.ts'
import { connectedIds, joined, networkPool, until } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const address = (one: Network): string => one.addresses()[0]!

describe('an open port', () => {
  test('survives garbage, half handshakes, slow bytes and idle sockets, and serves others meanwhile', async () => {
    const a = await pool.add()
    const port = Number(/tcp\/(\d+)/.exec(address(a))![1])
    const sockets: Socket[] = []
    const attack = (first?: string | Uint8Array): void => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      if (first !== undefined) socket.write(first)
      sockets.push(socket)
    }
    const select = '\x13/multistream/1.0.0\n'
    for (let i = 0; i < 200; i++) attack()
    for (let i = 0; i < 20; i++) attack(Uint8Array.from({ length: 5000 }, (_, at) => (at * 7919 + i) & 255))
    for (let i = 0; i < 20; i++) attack('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    for (let i = 0; i < 20; i++) attack(`${select}\x07/noise\n${'\0'.repeat(i * 10)}`)
    const slow = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('\x13')), 50)
    const b = await pool.add({ bootstrap: [address(a)] })
    await joined(a, b)
    expect(await b.ping(a.id, 2048)).toBeGreaterThan(0)
    await until(() => sockets.every((socket) => socket.destroyed || socket.readyState === 'closed'))
    clearInterval(slow)
    expect(connectedIds(a)).toEqual([b.id])
    expect(await b.ping(a.id, 2048)).toBeGreaterThan(0)
  })
})

describe('stopping', () => {
  test('leaves no handle: a process with a network ends by itself after stop', async () => {
    const a = await startPeer({ discovery: true, mdnsPort: 53531, listen: ['/ip4/127.0.0.1/tcp/0'] })
    const b = await startPeer({ bootstrap: [a.addresses[0]!] })
    await until(() => b.connected().includes(a.id) && a.connected().includes(b.id))
    expect(await b.stop()).toBe(0)
    await until(() => a.connected().length === 0)
    expect(await a.stop()).toBe(0)
    expect([...a.events, ...b.events].filter((one) => one.event === 'leak')).toEqual([])
  })

  test('twice is the same as once, and nothing can be opened afterwards', async () => {
    const a = await pool.add()
    const b = await pool.add({ bootstrap: [address(a)] })
    await joined(a, b)
    const why: string[] = []
    b.on({ disconnected: (_peer, reason) => why.push(reason) })
    await Promise.all([b.stop(), b.stop()])
    await b.stop()
    expect(why).toEqual(['stopped'])
    await expect(b.open(a.id, '/test/echo/1')).rejects.toBeInstanceOf(NetworkStoppedError)
    expect(() => b.keep(address(a))).toThrow(NetworkStoppedError)
    expect(() => a.keep('nonsense')).toThrow(BadAddressError)
  })
})
