/** What is turned away before there is a socket for it: by a real server of Node's, and by the door of a real node. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Doorstep, hostAt } from '../../src/net/doorstep.ts'

const open: Server[] = []
afterEach(() => {
  for (const server of open.splice(0)) server.close()
})

async function listening(step: Doorstep, host: string, came: (from: string) => void): Promise<number> {
  const server = createServer({ blockList: step }, (socket) => {
    came(socket.remoteAddress ?? '')
    socket.end()
  })
  open.push(server)
  await new Promise<void>((resolve) => server.listen({ port: 0, host }, resolve))
  return (server.address() as AddressInfo).port
}

const come = (port: number, host = '127.0.0.1'): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect({ port, host })
    socket.on('error', () => undefined).on('close', () => resolve())
    socket.resume()
  })

describe('a step before the door', () => {
  test('is asked for each connection, and what it turns away is no socket', async () => {
    const asked: string[] = []
    const came: string[] = []
    const step = new Doorstep((host) => asked.push(host) > 2)
    const port = await listening(step, '127.0.0.1', (from) => came.push(from))
    for (let n = 0; n < 5; n++) await come(port)
    expect(asked).toEqual(Array.from({ length: 5 }, () => '127.0.0.1'))
    expect(came).toHaveLength(2)
  })

  test('knows a host of IPv4 that comes by a server for both by the same name', async ({ skip }) => {
    const asked: string[] = []
    const step = new Doorstep((host) => asked.push(host) < 0)
    const port = await listening(step, '::', () => undefined).catch(() => skip('no IPv6 here'))
    await come(port)
    expect(asked).toEqual(['127.0.0.1'])
  })

  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8::1', '2001:db8::1'],
    ['::1', '::1'],
    ['fe80::1%eth0', 'unknown'],
  ])('%s is the host %s', (address, host) => {
    expect(hostAt(address)).toBe(host)
  })
})
