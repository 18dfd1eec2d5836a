/** Lanes between real networks: opened, counted, ended with their connection, and never for strangers. */
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LANE_WAIT_MS, MAX_LANES_PER_LINK } from '../../src/net/constants.ts'
import { DTYPE, encodeControl, frame } from '../../src/net/index.ts'
import type { Channel, Frame, Network } from '../../src/net/index.ts'
import { createLaneDoor, LANE_TLS } from '../../src/net/lane-door.ts'
import type { LaneDoor } from '../../src/net/lane-door.ts'
import { createLanes, LANE_PROTOCOL } from '../../src/net/lanes.ts'
import type { Link } from '../../src/net/links.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { joined, networkPool, openMembership, quietLogger } from './helpers.ts'

const pool = networkPool()
afterEach(() => pool.stopAll())

const ECHO = '/test/echo/1'

type Counted = Record<string, number>

async function pair(): Promise<{ a: Network; b: Network; counted: { a: Counted; b: Counted } }> {
  const counted: { a: Counted; b: Counted } = { a: {}, b: {} }
  const a = await pool.add({ telemetry: counter(counted.a) })
  const b = await pool.add({ telemetry: counter(counted.b), bootstrap: [a.addresses()[0]!] })
  await joined(a, b)
  return { a, b, counted }
}

function counter(into: Counted): { count(name: string, by?: number): void; observe(): void } {
  return { count: (name, by = 1) => void (into[name] = (into[name] ?? 0) + by), observe: () => undefined }
}

function echo(network: Network): void {
  network.handle(ECHO, 'compute', (channel) => channel.onFrame((got) => channel.send({ ...got, flags: 7 })))
}

async function trip(channel: Channel, bytes: number): Promise<Frame> {
  const { promise, resolve } = Promise.withResolvers<Frame>()
  channel.onFrame(resolve)
  const payload = new Uint8Array(bytes).map((_, index) => index % 251)
  await channel.send(frame({ type: 3, request: bytes, dtype: DTYPE.bytes, dims: [bytes], payload }))
  const answer = await promise
  expect(answer).toMatchObject({ type: 3, request: bytes, flags: 7 })
  expect(Buffer.compare(answer.payload, payload)).toBe(0)
  return answer
}

describe('a lane', () => {
  test('carries frames of any size both ways, whichever side has dialled the other, and a second time', async () => {
    const { a, b, counted } = await pair()
    echo(a)
    echo(b)
    for (const [from, to] of [
      [a, b],
      [b, a],
      [b, a],
    ] as const) {
      const lane = await from.openLane(to.id, ECHO)
      expect(lane.remote).toBe(to.id)
      for (const bytes of [1, 2048, 20_000, 3_000_000]) await trip(lane, bytes)
      await lane.close()
      expect(await lane.closed).toBeUndefined()
    }
    expect(counted).toMatchObject({ a: { lanes_opened: 3 }, b: { lanes_opened: 3 } })
    expect(counted.a['lanes_missed'] ?? 0).toBe(0)
    expect(counted.b['bytes_received']).toBeGreaterThan(9_000_000)
  })

  test('ends on both sides with the connection that it was opened by', async () => {
    const { a, b } = await pair()
    const arrived = Promise.withResolvers<Channel>()
    a.handle(ECHO, 'compute', (channel) => {
      channel.onFrame(() => undefined)
      arrived.resolve(channel)
    })
    const near = await b.openLane(a.id, ECHO)
    near.onFrame(() => undefined)
    const far = await arrived.promise
    a.decide(b.id, false)
    await Promise.all([near.closed, far.closed])
    await expect(near.send(frame({ type: 1 }))).rejects.toMatchObject({ code: 'WEFT-NET-002' })
  })

  test('is not to be had for a protocol that nobody serves, or for one that this peer may not use', async () => {
    const counted: Counted = {}
    const a = await pool.add({
      membership: { ...openMembership, epoch: 0, admits: (_peer, purpose) => purpose !== 'compute' },
    })
    const b = await pool.add({ telemetry: counter(counted), bootstrap: [a.addresses()[0]!] })
    await joined(a, b)
    await expect(b.openLane(a.id, '/test/nobody/1')).rejects.toMatchObject({ name: 'ProtocolUnsupportedError' })
    echo(a)
    const refused = await b.openLane(a.id, ECHO)
    refused.onFrame(() => undefined)
    expect(await refused.closed).toBeInstanceOf(Error)
    expect(counted).toMatchObject({ lanes_missed: 1 })
    expect(counted['lanes_opened'] ?? 0).toBe(0)
  })

  test('that was tried in vain is not tried again for a channel, and is as a try', async () => {
    let asked = 0
    const counted: Counted = {}
    const lanes = createLanes({
      clock: systemClock(),
      random: systemRandom(),
      logger: quietLogger(),
      telemetry: counter(counted),
      listening: () => [],
      server: () => undefined,
    })
    const connection = {
      remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'),
      newStream: () => {
        asked++
        return Promise.reject(new Error('the line loses packets'))
      },
    }
    const link = { peer: 'b', connection, state: 'joined' } as unknown as Link
    for (let time = 0; time < 2; time++) expect(await lanes.open(link, ECHO, undefined)).toBeUndefined()
    expect([asked, counted['lanes_missed']]).toEqual([1, 1])
    for (let time = 0; time < 2; time++) expect(await lanes.tryOpen(link, ECHO)).toBeUndefined()
    expect([asked, counted['lanes_missed']]).toEqual([3, 1])
    await lanes.stop()
  })

  test('on a connection that is just lost is none, and no rejection that nobody hears of', async () => {
    const unheard: unknown[] = []
    const hear = (reason: unknown): unknown => unheard.push(reason)
    process.on('unhandledRejection', hear)
    const lanes = createLanes({
      clock: systemClock(),
      random: systemRandom(),
      logger: quietLogger(),
      listening: () => [],
      server: () => undefined,
    })
    // It has ended before anything is written to it.
    const stream = {
      status: 'closed',
      writableNeedsDrain: false,
      send: () => {
        throw new Error('the stream is closed')
      },
      addEventListener: () => undefined,
      close: () => Promise.resolve(),
      abort: () => undefined,
    }
    const connection = { remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'), newStream: () => Promise.resolve(stream) }
    const link = { peer: 'b', connection, state: 'joined' } as unknown as Link
    try {
      expect(await lanes.tryOpen(link, ECHO)).toBeUndefined()
      expect(await lanes.open(link, ECHO, undefined)).toBeUndefined()
      await sleep(20)
      expect(unheard).toEqual([])
    } finally {
      process.off('unhandledRejection', hear)
      await lanes.stop()
    }
  })

  test('makes room for an ordinary channel when there are too many', async () => {
    const { a, b, counted } = await pair()
    echo(a)
    const channels: Channel[] = []
    for (let index = 0; index <= MAX_LANES_PER_LINK; index++) {
      channels.push(await b.openLane(a.id, ECHO))
      await trip(channels[index]!, 100)
    }
    expect(counted.b).toMatchObject({ lanes_opened: MAX_LANES_PER_LINK, lanes_missed: 1 })
    await trip(channels.at(-1)!, 100_000)
  })

  test('counts tickets that nobody comes by, until they expire', async () => {
    const { a, b, counted } = await pair()
    echo(a)
    const channels = await Promise.all(
      Array.from({ length: MAX_LANES_PER_LINK + 1 }, () => b.open(a.id, LANE_PROTOCOL)),
    )
    // all at once: a busy machine would let the first expire before the last is asked for
    const answers = await Promise.all(
      channels.map(async (channel) => {
        const { promise, resolve } = Promise.withResolvers<Frame>()
        channel.onFrame(resolve)
        await channel.send(frame({ type: 1, control: encodeControl({ protocol: ECHO, host: '127.0.0.1' }) }))
        return (await promise).type
      }),
    )
    expect(answers.toSorted((a, b) => a - b)).toEqual([...Array.from({ length: MAX_LANES_PER_LINK }, () => 2), 3])
    await sleep(LANE_WAIT_MS + 200)
    await trip(await b.openLane(a.id, ECHO), 100)
    expect(counted.b).toMatchObject({ lanes_opened: 1 })
  })

  test('follows when a peer comes back', async () => {
    const counted: Counted = {}
    const identity = newIdentity()
    const first = await pool.add({ identity })
    echo(first)
    const b = await pool.add({ telemetry: counter(counted), bootstrap: [first.addresses()[0]!] })
    await joined(first, b)
    const lane = await b.openLane(first.id, ECHO)
    await trip(lane, 10)
    await first.stop()
    await lane.closed
    const again = await pool.add({ identity, listen: [first.addresses()[0]!.replace(/\/p2p\/.*/, '')] })
    echo(again)
    await joined(again, b)
    await trip(await b.openLane(again.id, ECHO), 10)
    expect(counted).toMatchObject({ lanes_opened: 2 })
  })
})

describe('the door for lanes', () => {
  let door: LaneDoor
  beforeEach(() => {
    door = createLaneDoor({ clock: systemClock(), random: systemRandom() })
  })
  afterEach(() => door.stop())

  /** How the other side ends it, if it does. */
  async function dial(port: number, name: string, key: Uint8Array): Promise<'in' | 'out'> {
    const socket = connectTls({
      ...LANE_TLS,
      host: '127.0.0.1',
      port,
      pskCallback: () => ({ psk: key, identity: name }),
      checkServerIdentity: () => undefined,
    })
    socket.on('error', () => undefined)
    try {
      return await Promise.race([
        once(socket, 'secureConnect').then(async () => {
          // A ticket that somebody else has used up is found out after the handshake.
          const [data] = (await Promise.race([once(socket, 'data'), once(socket, 'close')])) as [unknown]
          return Buffer.isBuffer(data) ? 'in' : 'out'
        }),
        once(socket, 'close').then(() => 'out' as const),
      ])
    } catch {
      return 'out'
    } finally {
      socket.destroy()
    }
  }

  test('lets a ticket in once, with its own key, until it is withdrawn', async () => {
    const greet = (socket: NodeJS.WritableStream): void => void socket.write('welcome')
    let count = 0
    const ended = (): void => void count++
    const first = await door.ticket('127.0.0.1', greet, ended)
    const second = await door.ticket('127.0.0.1', greet, ended)
    expect(second.port).toBe(first.port)
    expect(await dial(first.port, first.name, second.key)).toBe('out')
    expect(await dial(first.port, 'f'.repeat(32), first.key)).toBe('out')
    expect(await dial(first.port, first.name, first.key)).toBe('in')
    expect(await dial(first.port, first.name, first.key)).toBe('out')
    second.withdraw()
    expect(await dial(second.port, second.name, second.key)).toBe('out')
    second.withdraw()
    expect(count).toBe(2)
  })

  test('cuts off whoever brings garbage, and goes on', async () => {
    const ticket = await door.ticket(
      '127.0.0.1',
      (socket) => void socket.write('welcome'),
      () => undefined,
    )
    for (const garbage of [Buffer.alloc(4096, 0x41), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([22, 3, 1])]) {
      const socket = connectTcp(ticket.port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.end(garbage)
      socket.resume()
      await once(socket, 'close')
    }
    expect(await dial(ticket.port, ticket.name, ticket.key)).toBe('in')
    ticket.withdraw()
    const idle = connectTcp(ticket.port, '127.0.0.1')
    idle.on('error', () => undefined).resume()
    await once(idle, 'close')
  })
})
