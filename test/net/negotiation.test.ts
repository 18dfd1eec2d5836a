/** What nobody's handler hears of: names that nobody speaks, and garbage before anything is agreed on. */
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createDefence, encodeControl, frame, OFFENCES, ProtocolUnsupportedError } from '../../src/net/index.ts'
import type { Ban, Defence, Membership, Network } from '../../src/net/index.ts'
import { MAX_UNAGREED_BYTES } from '../../src/net/constants.ts'
import { LANE_PROTOCOL } from '../../src/net/lanes.ts'
import { createUnspoken } from '../../src/net/unspoken.ts'
import { systemClock } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import { connectedIds, joined, networkPool, until } from './helpers.ts'
import type { TestInit } from './helpers.ts'
import { askFor, bareStream, scanner, sendBelow } from './scanner.ts'
import type { Scanner } from './scanner.ts'

const pool = networkPool()
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await pool.stopAll()
})

interface Watched {
  readonly one: Network
  readonly defence: Defence
  readonly told: Ban[]
  readonly counted: string[]
}

async function watched(init: TestInit = {}, spares?: (peer: string) => boolean): Promise<Watched> {
  const [told, counted]: [Ban[], string[]] = [[], []]
  const telemetry = { count: (name: string) => void counted.push(name), observe: () => undefined }
  const needs = { clock: systemClock(), told: (ban: Ban) => void told.push(ban) }
  const defence = createDefence({ ...needs, ...(spares === undefined ? {} : { spares }) })
  return { one: await pool.add({ defence, telemetry, ...init }), defence, told, counted }
}

async function outsider(): Promise<Scanner> {
  const made = await scanner()
  cleanups.push(() => made.stop())
  return made
}

const addressOf = (one: Network): string => one.addresses()[0]!
const portOf = (one: Network): number => Number(/\/tcp\/(\d+)/.exec(addressOf(one))![1])
const nobody: Membership = { epoch: 1, admits: () => false, isRemoved: () => false }

describe('who asks for one protocol after another that nobody speaks', () => {
  test.each([
    ['a stream each', 1],
    ['all over a few streams', 20],
  ])('is kept out, with a reason and an end: %s', async (_how, each) => {
    const { one, defence, told, counted } = await watched()
    const good = await pool.add({ bootstrap: [addressOf(one)] })
    await joined(one, good)
    const bad = await outsider()
    await askFor(await bad.connect(addressOf(one)), 3 * OFFENCES.scan.most, each)
    await until(() => told.length > 0)
    expect(told).toMatchObject([{ subject: `peer:${bad.id}`, offence: 'scan', why: OFFENCES.scan.why }])
    expect(told[0]!.until - told[0]!.since).toBe(300_000)
    expect(counted.filter((name) => name === 'protocols_unknown').length).toBeGreaterThan(OFFENCES.scan.most)
    // nothing of it is left, and it does not come again
    expect(
      await bad.connect(addressOf(one)).then(
        (again) => askFor(again, 1),
        () => 0,
      ),
    ).toBe(0)
    expect([connectedIds(one), defence.banned(`peer:${good.id}`)]).toEqual([[good.id], undefined])
  })

  test('and the control: without a defence it is answered as long as it asks, and so is one that stays within the limit', async () => {
    const control = await pool.add({})
    const bad = await outsider()
    const many = 3 * OFFENCES.scan.most
    expect(await askFor(await bad.connect(addressOf(control)), many, 20)).toBe(many)
    const { one, told } = await watched()
    const within = OFFENCES.scan.most - 1
    expect(await askFor(await bad.connect(addressOf(one)), within)).toBe(within)
    expect(told).toEqual([])
  })

  test('is kept out with its host where it is no member, whatever names it takes', async () => {
    const { one, told } = await watched({ membership: nobody })
    for (let time = 0; time < 3 && told.length === 0; time++) {
      const bad = await outsider()
      await askFor(await bad.connect(addressOf(one)), OFFENCES.scan.most / 2, 10)
    }
    await until(() => told.length > 0)
    expect(told).toMatchObject([{ subject: 'host:127.0.0.1', offence: 'scan' }])
  })

  test('is kept to its limits, and in, where it is an admin', async () => {
    const bad = await outsider()
    const { one, told } = await watched({}, (peer) => peer === bad.id)
    const asked = 2 * OFFENCES.scan.most
    expect(await askFor(await bad.connect(addressOf(one)), asked, 20)).toBe(asked)
    expect(told).toEqual([])
  })

  test('asks for lanes to them, and is kept out too', async () => {
    const { one, told } = await watched()
    const bad = await pool.add({ bootstrap: [addressOf(one)] })
    await joined(one, bad)
    const ask = frame({ type: 1, control: encodeControl({ protocol: '/scan/1', host: '127.0.0.1' }) })
    const channel = await bad.open(one.id, LANE_PROTOCOL)
    for (let time = 0; time <= OFFENCES.scan.most; time++) await channel.send(ask)
    await channel.closed
    expect(told).toMatchObject([{ subject: `peer:${bad.id}`, offence: 'scan' }])
  })

  test('lists all names, and each list is one', async () => {
    const { one, told } = await watched()
    const bad = await outsider()
    const connection = await bad.connect(addressOf(one))
    const stream = await bareStream(connection)
    stream.send(Buffer.from('\x13/multistream/1.0.0\n'))
    for (let time = 0; time <= OFFENCES.scan.most; time++) stream.send(Buffer.from('\x03ls\n'))
    await until(() => told.length > 0)
    expect(told).toMatchObject([{ subject: `peer:${bad.id}`, offence: 'scan' }])
  })
})

describe('a peer of ours', () => {
  test('asks seldom for what another does not speak, however many want it, and hears of it when that has begun to', async () => {
    const { one, told, counted } = await watched()
    const other = await pool.add({ bootstrap: [addressOf(one)] })
    await joined(one, other)
    for (let time = 0; time < 200; time++)
      await expect(other.open(one.id, '/weft/later/1')).rejects.toThrow(ProtocolUnsupportedError)
    expect(counted.filter((name) => name === 'protocols_unknown').length).toBeLessThan(20)
    expect(told).toEqual([])
    one.handle('/weft/later/1', 'compute', () => undefined)
    await until(() =>
      other.open(one.id, '/weft/later/1').then(
        () => true,
        () => false,
      ),
    )
  })

  test('waits twice as long after each no, a minute at most', async () => {
    const clock = virtualClock()
    const unspoken = createUnspoken(clock)
    const [a, b] = [{}, {}]
    const waits: number[] = []
    for (let time = 0; time < 12; time++) {
      unspoken.note(a, '/x/1')
      let wait = 0
      for (; unspoken.has(a, '/x/1'); wait += 100) await clock.advance(100)
      waits.push(wait)
    }
    expect(waits.slice(0, 3)).toEqual([100, 200, 400])
    expect(waits.at(-1)).toBe(60_000)
    expect([unspoken.has(a, '/y/1'), unspoken.has(b, '/x/1')]).toEqual([false, false])
  })
})

describe('who sends garbage', () => {
  test.each<[string, (one: Network, bad: Scanner) => Promise<void>]>([
    [
      'where names of protocols should be, too much of it',
      async (one, bad) => {
        const connection = await bad.connect(addressOf(one))
        for (let time = 0; time <= OFFENCES.malformed.most; time++)
          (await bareStream(connection)).send(new Uint8Array(2 * MAX_UNAGREED_BYTES).fill(255))
      },
    ],
    [
      'where names of protocols should be, a name that is none',
      async (one, bad) => {
        const connection = await bad.connect(addressOf(one))
        for (let time = 0; time <= OFFENCES.malformed.most; time++)
          (await bareStream(connection)).send(Buffer.from('\x04abcd'))
      },
    ],
    [
      'where frames of the multiplexer should be',
      async (one, bad) => {
        for (let time = 0; time <= OFFENCES.malformed.most; time++) {
          const connection = await bad.connect(addressOf(one))
          sendBelow(connection, Buffer.from('nothing that a multiplexer would send'))
          await until(() => connection.status !== 'open')
        }
      },
    ],
  ])('%s, is kept out, and the others stay', async (_what, send) => {
    const { one, told } = await watched()
    const good = await pool.add({ bootstrap: [addressOf(one)] })
    await joined(one, good)
    const bad = await outsider()
    await send(one, bad)
    await until(() => told.length > 0)
    expect(told).toMatchObject([{ subject: `peer:${bad.id}`, offence: 'malformed', why: OFFENCES.malformed.why }])
    expect(connectedIds(one)).toEqual([good.id])
  })

  test('before it has proven anything is cut off when it has sent more than a handshake, and its host in the end', async () => {
    const { one, told } = await watched()
    const good = await pool.add({ bootstrap: [addressOf(one)] })
    await joined(one, good)
    const sent: number[] = []
    for (let time = 0; time <= OFFENCES.malformed.most; time++) sent.push(await pour(portOf(one)))
    // what the system holds for a socket, and no more
    expect(Math.max(...sent)).toBeLessThan(32 << 20)
    expect(told).toMatchObject([{ subject: 'host:127.0.0.1', offence: 'malformed' }])
    expect(connectedIds(one)).toEqual([good.id])
  })

  test('to whoever dials it is left, and holds nobody up', async () => {
    const one = await pool.add({})
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      flood(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const { port } = server.address() as { port: number }
    one.keep(`/ip4/127.0.0.1/tcp/${port}`)
    await until(() => sockets.length > 0)
    await until(() => sockets[0]!.destroyed)
    expect(sockets[0]!.bytesWritten).toBeLessThan(64 << 20)
  })
})

/** Sends 0xFF, of which no number ends, until it is cut off; how many bytes went out. */
function pour(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    socket.on('connect', () => flood(socket))
    socket.on('close', () => resolve(socket.bytesWritten))
  })
}

function flood(socket: Socket): void {
  const bytes = Buffer.alloc(64 << 10, 255)
  const pour = (): void => {
    for (let more = true; more && socket.writable;) more = socket.write(bytes)
  }
  socket.on('drain', pour)
  pour()
}
