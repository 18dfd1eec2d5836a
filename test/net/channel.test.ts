/** One suite for all that carries a channel: a socket, one to a process of one's own, and a libp2p stream over TCP and noise. */
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  channelOverSocket,
  channelToOwn,
  ChannelBusyError,
  ChannelClosedError,
  DTYPE,
  encodeFrame,
  frame,
  MAX_PAYLOAD_BYTES,
} from '../../src/net/index.ts'
import type { Channel, Frame, Network } from '../../src/net/index.ts'
import { joined, networkPool, until } from './helpers.ts'

interface Pair {
  readonly near: Channel
  readonly far: Channel
  /** Writes raw bytes to the far end, past the near channel. */
  readonly raw?: (bytes: Uint8Array) => void
  readonly trust?: 'peers' | 'own'
  /** Cuts the carrier without a farewell. */
  readonly cut: () => void
}

interface Carrier {
  open(): Promise<Pair>
  start(): Promise<void>
  stop(): Promise<void>
}

function socketCarrier(trust: 'peers' | 'own'): Carrier {
  const over = trust === 'own' ? channelToOwn : channelOverSocket
  let server: Server
  let directory: string
  const sockets: Socket[] = []
  return {
    async start() {
      directory = await mkdtemp(join(tmpdir(), 'weft-socket-'))
      server = createServer()
      await new Promise<void>((resolve) => server.listen(join(directory, 's'), resolve))
    },
    async stop() {
      sockets.forEach((socket) => socket.destroy())
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true })
    },
    async open() {
      const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
      const near = connect(join(directory, 's'))
      const far = await accepted
      sockets.push(near, far)
      return {
        near: over(near, 'host'),
        far: over(far, 'peer'),
        trust,
        raw: (bytes) => void near.write(bytes),
        cut: () => void near.destroy(),
      }
    },
  }
}

function streamCarrier(): Carrier {
  const pool = networkPool()
  let [a, b]: Network[] = []
  let round = 0
  return {
    async start() {
      a = await pool.add()
      b = await pool.add({ bootstrap: [a.addresses()[0]!] })
      await joined(a, b)
    },
    stop: () => pool.stopAll(),
    async open() {
      const protocol = `/test/${round++}/1`
      const accepted = new Promise<Channel>((resolve) => a!.handle(protocol, 'compute', resolve))
      const near = await b!.open(a!.id, protocol)
      return { near, far: await accepted, cut: () => near.abort(new Error('cut')) }
    },
  }
}

const tensor = (bytes: number, request = 0): Frame => {
  const payload = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 997) payload[at] = (at * 31 + request) & 255
  return frame({ type: 2, request, dtype: DTYPE.bytes, dims: [bytes], payload })
}
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

for (const [name, carrier] of [
  ['a socket', socketCarrier('peers')],
  ['a socket to a process of its own', socketCarrier('own')],
  ['a libp2p stream', streamCarrier()],
] as const) {
  describe(`a channel over ${name}`, () => {
    beforeAll(() => carrier.start())
    afterAll(() => carrier.stop())
    const open: Channel[] = []
    const pair = async (): Promise<Pair> => {
      const made = await carrier.open()
      open.push(made.near, made.far)
      return made
    }
    afterEach(() => open.splice(0).forEach((channel) => channel.abort(new Error('test is over'))))

    test('brings frames of all sizes in order, in both directions at once', async () => {
      const { near, far } = await pair()
      const sizes = [0, 1, 127, 2048, 65_536, 300_000, 5_000_000, 3]
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        const got: string[] = []
        to.onFrame((one) => void got.push(`${one.request} ${digest(one.payload)}`))
        void Promise.all(sizes.map((size, index) => from.send(tensor(size, index))))
        await until(() => got.length === sizes.length)
        expect(got).toEqual(sizes.map((size, index) => `${index} ${digest(tensor(size, index).payload)}`))
      }
    })

    test('holds back a fast sender while the reader is slow: memory stays bounded, nothing is lost', async () => {
      const { near, far } = await pair()
      const total = 80
      const size = 512 << 10
      let received = 0
      let inHandler = 0
      let most = 0
      far.onFrame(async () => {
        most = Math.max(most, ++inHandler)
        await sleep(6)
        inHandler--
        received++
      })
      let sent = 0
      const sending = (async () => {
        for (let index = 0; index < total; index++) {
          await near.send(tensor(size, index))
          sent++
        }
      })()
      await sleep(150)
      // what is on its way: windows, socket buffers, and the few frames that are being handled
      expect(sent - received).toBeLessThan(50)
      await sending
      await until(() => received === total)
      expect(most).toBeLessThanOrEqual(9)
    })

    test('stops reading while handlers are stuck, and goes on when they are done, twice', async () => {
      const { near, far } = await pair()
      for (let round = 0; round < 2; round++) {
        const gate = Promise.withResolvers<void>()
        let started = 0
        far.onFrame(() => {
          started++
          return gate.promise
        })
        for (let index = 0; index < 20; index++) await near.send(tensor(10, index))
        await sleep(60)
        expect(started).toBeLessThan(20)
        gate.resolve()
        await until(() => started === 20)
      }
    })

    test('frames that come before a handler is set are kept for it', async () => {
      const { near, far } = await pair()
      await near.send(tensor(5, 1))
      await near.send(tensor(5, 2))
      await sleep(30)
      const got: number[] = []
      far.onFrame((one) => void got.push(one.request))
      await until(() => got.length === 2)
      expect(got).toEqual([1, 2])
    })

    test('close flushes what was sent and ends both sides in order', async () => {
      const { near, far } = await pair()
      const got: number[] = []
      far.onFrame((one) => void got.push(one.payload.length))
      void near.send(tensor(3_000_000))
      void near.send(tensor(7))
      await near.close()
      await near.close()
      expect(await near.closed).toBeUndefined()
      expect(await far.closed).toBeUndefined()
      expect(got).toEqual([3_000_000, 7])
      await expect(near.send(tensor(1))).rejects.toBeInstanceOf(ChannelClosedError)
      await expect(far.send(tensor(1))).rejects.toBeInstanceOf(ChannelClosedError)
    })

    test('a carrier that breaks ends waiting sends and both sides', async () => {
      const { near, far, cut } = await pair()
      const gate = Promise.withResolvers<void>()
      far.onFrame(() => gate.promise)
      const sends = Array.from({ length: 60 }, (_, index) => near.send(tensor(1 << 20, index)))
      await sleep(50)
      cut()
      const results = await Promise.allSettled(sends)
      expect(results.some((one) => one.status === 'rejected')).toBe(true)
      for (const one of results) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ChannelClosedError)
      expect(await near.closed).toBeInstanceOf(Error)
      gate.resolve()
      await far.closed
    })

    test('a handler that throws, at once or later, aborts the channel with its error', async () => {
      for (const handler of [() => Promise.reject(new Error('later')), (): void => failNow()]) {
        const { near, far } = await pair()
        far.onFrame(handler)
        await near.send(tensor(1))
        expect((await far.closed)?.message).toMatch(/later|now/)
        await near.closed
      }
    })

    test('who never awaits its sends is told before memory runs out', async () => {
      const { near, far } = await pair()
      far.onFrame(() => new Promise(() => undefined))
      const one = tensor(100_000)
      const sends = Array.from({ length: 2_000 }, () => near.send(one))
      const first = await Promise.race(
        sends
          .map((one) =>
            one.then(
              () => undefined,
              (error: unknown) => error,
            ),
          )
          .slice(1_500),
      )
      expect(first).toBeInstanceOf(ChannelBusyError)
    })

    test('bytes that are no frame end it, with the field that was wrong', async () => {
      const { near, far, raw, trust } = await pair()
      if (raw === undefined) return
      const got: number[] = []
      far.onFrame((one) => void got.push(one.request))
      const good = Buffer.concat(encodeFrame(tensor(100, 5), trust))
      raw(good)
      raw(Buffer.alloc(200, 0x41))
      expect(await far.closed).toMatchObject({ code: 'WEFT-NET-001', details: { field: 'magic' } })
      expect(got).toEqual([5])
      await near.closed
    })
  })
}

describe('a channel to a process of its own', () => {
  const carrier = socketCarrier('own')
  const other = socketCarrier('peers')
  beforeAll(() => Promise.all([carrier.start(), other.start()]))
  afterAll(() => Promise.all([carrier.stop(), other.stop()]))

  test('brings payloads of the largest size whole, each in memory of its own, twice', async () => {
    const { near, far } = await carrier.open()
    const got: Uint8Array[] = []
    far.onFrame(({ payload }) => void got.push(payload))
    for (const index of [0, 1]) await near.send(tensor(MAX_PAYLOAD_BYTES, index))
    await until(() => got.length === 2)
    expect(got.map(digest)).toEqual([0, 1].map((index) => digest(tensor(MAX_PAYLOAD_BYTES, index).payload)))
    expect(got.every(({ byteOffset, buffer }) => byteOffset === 0 && buffer.byteLength === MAX_PAYLOAD_BYTES)).toBe(
      true,
    )
  })

  test('takes one large frame at a time while the reader is stuck, and all when it goes on', async () => {
    const { near, far } = await carrier.open()
    const gate = Promise.withResolvers<void>()
    const got: number[] = []
    far.onFrame(({ request }) => {
      got.push(request)
      return gate.promise
    })
    let sent = 0
    const before = process.memoryUsage().arrayBuffers
    const one = tensor(16 << 20)
    const sends = [0, 1, 2, 3, 4].map((request) => near.send({ ...one, request }).then(() => sent++))
    await until(() => got.length === 1)
    await sleep(60)
    expect(got).toEqual([0])
    expect(sent).toBeLessThanOrEqual(2)
    // What was sent, the frame that is held, and at most one more that has begun to arrive.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * (16 << 20))
    gate.resolve()
    await Promise.all(sends)
    await until(() => got.length === 5)
    expect(got).toEqual([0, 1, 2, 3, 4])
  })

  test('refuses what claims more than the limit, what is cut off, and frames with a checksum', async () => {
    const bytes = (): Buffer => Buffer.concat(encodeFrame(tensor(100, 5), 'own'))
    const cases: readonly (readonly [Buffer, string])[] = [
      [Buffer.concat([bytes().subarray(0, 48), Buffer.alloc(80, 255)]), 'checksum'],
      [Buffer.concat(encodeFrame(tensor(100, 5), 'peers')), 'checksum'],
    ]
    for (const [bad, field] of cases) {
      const { far, near, raw } = await carrier.open()
      far.onFrame(() => failNow())
      raw!(bad)
      expect(await far.closed).toMatchObject({ code: 'WEFT-NET-001', details: { field } })
      await near.closed
    }
    const { far, near, raw, cut } = await carrier.open()
    far.onFrame(() => failNow())
    raw!(bytes().subarray(0, 200))
    await sleep(20)
    cut()
    expect(await far.closed).toBeInstanceOf(ChannelClosedError)
    await near.closed
  })

  test('is not taken for a channel between peers', async () => {
    const { far, near, raw } = await other.open()
    far.onFrame(() => failNow())
    raw!(Buffer.concat(encodeFrame(tensor(100, 5), 'own')))
    expect(await far.closed).toMatchObject({ code: 'WEFT-NET-001', details: { field: 'checksum' } })
    await near.closed
  })
})

function failNow(): never {
  throw new Error('now')
}
