import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { MODEL } from './fake-peer.ts'
import { failure, manualClock, open, post, raw, start, until } from './support.ts'
import type { Running, StartOptions } from './support.ts'

const CHAT = '/v1/chat/completions'
const body = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] }
const streamed = JSON.stringify({ ...body, stream: true })

/** What waits for clients that have gone is tested in resume.test.ts. */
const begin = ({ init, ...rest }: StartOptions = {}): Promise<Running> =>
  start({ ...rest, init: { limits: { resumeMs: 0, ...init?.limits } } })

let running: Running | undefined
afterEach(() => running?.api.close())

function rawPost(port: number, json: string, path = CHAT): string {
  const length = Buffer.byteLength(json)
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`
  return `${head}Content-Length: ${length}\r\n\r\n${json}`
}

/** Reads until the text is there, and leaves the connection open. */
function readUntil(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = ''
    socket.on('data', (chunk) => {
      got += chunk.toString()
      if (got.includes(text)) resolve(got)
    })
    socket.on('close', () => reject(new Error(`closed after ${got.length} bytes`)))
  })
}

const never = (_index: number, signal: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })

describe('a client that vanishes', () => {
  test.each(['reset', 'end'] as const)(
    'in the middle of a stream (%s): the signal fires, the generator ends',
    async (how) => {
      running = await begin()
      const { peer, port, telemetry } = running
      peer.hold = (index, signal) => (index < 2 ? Promise.resolve() : never(index, signal))
      const socket = await open(port)
      socket.write(rawPost(port, streamed))
      await readUntil(socket, '" mesh"')
      expect(peer.aborted).toBe(0)
      if (how === 'reset') socket.resetAndDestroy()
      else socket.end()
      await until(() => peer.aborted === 1 && peer.ended === 1)
      expect(peer.produced).toBe(2)
      await until(() => telemetry.counters()['http_clients_gone'] === 1)
      peer.hold = null
      expect((await post(running.url, CHAT, body)).status).toBe(200)
    },
  )

  test('before the first byte, and while it waits for a whole answer', async () => {
    running = await begin()
    const { peer, port } = running
    peer.hold = never
    for (const [index, json] of [streamed, JSON.stringify(body)].entries()) {
      const socket = await open(port)
      socket.write(rawPost(port, json))
      await until(() => peer.requests.length === index + 1)
      socket.destroy()
      await until(() => peer.aborted === index + 1 && peer.ended === index + 1)
    }
  })

  test('a peer that does not heed the signal holds no place for long', async () => {
    running = await begin({ init: { limits: { inFlight: 1 } } })
    const { peer, port, url } = running
    let release = (): void => undefined
    peer.hold = () => new Promise((resolve) => (release = resolve))
    const socket = await open(port)
    socket.write(rawPost(port, streamed))
    await until(() => peer.requests.length === 1)
    socket.destroy()
    await until(() => peer.aborted === 1)
    peer.hold = null
    await until(async () => (await post(url, CHAT, body)).status === 200)
    release()
    await until(() => peer.ended === 2)
  })

  test('the admin stream and a job stop as well', async () => {
    running = await begin()
    const { peer, port } = running
    peer.hold = never
    const socket = await open(port)
    const json = JSON.stringify({ model: MODEL, input: { kind: 'text', text: 'x' } })
    socket.write(rawPost(port, json, '/api/v1/generate'))
    await readUntil(socket, '"start"')
    socket.destroy()
    await until(() => peer.aborted === 1 && peer.ended === 1)
  })
})

describe('a client that does not read', () => {
  test('memory stays bounded while it sleeps, and it is cut after the stated time', async () => {
    const clock = manualClock()
    running = await begin({ clock })
    const { peer, port, telemetry } = running
    peer.tokens = 1_000_000
    peer.word = 'x'.repeat(10_000)
    const socket = connect(port, '127.0.0.1')
    socket.pause()
    socket.write(rawPost(port, streamed))
    // It produces until the kernel's buffers and ours are full, then stands still.
    let before = -1
    await until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      const still = peer.produced > 0 && peer.produced === before
      before = peer.produced
      return still
    })
    expect(peer.produced).toBeLessThan(3_000)
    expect(peer.ended).toBe(0)
    clock.advance(29_999)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(peer.aborted).toBe(0)
    clock.advance(2)
    await until(() => peer.aborted === 1 && peer.ended === 1)
    expect(telemetry.counters()['http_clients_stalled']).toBe(1)
    socket.destroy()
  })

  test('a slow reader gets all of it, however slow', async () => {
    running = await begin()
    const { peer, port } = running
    peer.tokens = 400
    peer.word = 'y'.repeat(20_000)
    const socket = connect(port, '127.0.0.1')
    socket.write(rawPost(port, streamed).replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    let text = ''
    for await (const chunk of socket) {
      text += (chunk as Buffer).toString('latin1')
      if (text.length % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    expect(text.split('y'.repeat(20_000)).length - 1).toBe(400)
    expect(text).toContain('data: [DONE]')
  })
})

test('silence is filled with comments each fifteen seconds, which clients skip', async () => {
  const clock = manualClock()
  running = await begin({ clock })
  const { peer, port } = running
  let release = (): void => undefined
  peer.hold = (index) => (index === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve())
  const socket = await open(port)
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString()))
  socket.write(rawPost(port, streamed))
  await until(() => text.includes('"Hello"'))
  for (const count of [1, 2]) {
    clock.advance(15_000)
    await until(() => text.split(': keep-alive\n\n').length - 1 === count)
  }
  release()
  await until(() => text.includes('[DONE]'))
  socket.destroy()
  await until(() => clock.pending() === 0)
})

describe('floods', () => {
  test('slow-loris: two hundred connections that never finish their headers are closed, others are served meanwhile', async () => {
    running = await begin({ init: { limits: { headersMs: 400, requestMs: 600, checkMs: 100 } } })
    const { port, url } = running
    const sockets = await Promise.all(Array.from({ length: 200 }, () => open(port)))
    const closed = sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve).resume()))
    for (const [index, socket] of sockets.entries()) {
      socket.on('error', () => undefined)
      if (index % 4 !== 0) socket.write(`POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Slow: `)
    }
    expect((await post(url, CHAT, body)).status).toBe(200)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    await Promise.all(closed)
    expect((await post(url, CHAT, body)).status).toBe(200)
  })

  test('a body that never ends, and a chunked one without its end, are given up', async () => {
    running = await begin({ init: { limits: { headersMs: 300, requestMs: 400, checkMs: 100 } } })
    const { port, peer } = running
    const head = `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`
    const answers = await Promise.all([
      raw(port, `${head}Content-Length: 500\r\n\r\n{"model":`),
      raw(port, `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"mod\r\n`),
    ])
    expect(answers.map((answer) => answer.status)).toEqual([408, 408])
    expect(peer.requests.length).toBe(0)
  })

  test('one address may have so many in flight, then 429; a place that is given back is used again', async () => {
    const clock = manualClock()
    running = await begin({ clock, init: { limits: { inFlightPerAddress: 3 } } })
    const { peer, port, url } = running
    peer.hold = never
    const sockets = await Promise.all([1, 2, 3].map(() => open(port)))
    for (const socket of sockets) socket.write(rawPost(port, streamed))
    await until(() => peer.requests.length === 3)
    // Three places that are held for 30 s already: one becomes free every 10 s at best, and each is told of its own.
    clock.advance(30_000)
    const refused = await post(url, CHAT, body)
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('10')
    expect((await post(url, CHAT, body)).headers.get('retry-after')).toBe('20')
    expect(await failure(refused)).toMatchObject({
      error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
      weft: { code: 'WEFT-API-038' },
    })
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(peer.requests.length).toBe(3)
    peer.hold = null
    sockets[0]?.destroy()
    await until(async () => (await post(url, CHAT, body)).status === 200)
    for (const socket of sockets) socket.destroy()
    await until(() => peer.ended === peer.requests.length)
  })

  test('the peer as a whole takes so many, then 503 with Retry-After', async () => {
    running = await begin({ init: { limits: { inFlight: 2 } } })
    const { peer, port, url } = running
    peer.hold = never
    const sockets = await Promise.all([1, 2].map(() => open(port)))
    for (const socket of sockets) socket.write(rawPost(port, streamed))
    await until(() => peer.requests.length === 2)
    const refused = await post(url, CHAT, body)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    for (const socket of sockets) socket.destroy()
  })

  test('a thousand idle connections do not keep others out, and are closed', async () => {
    running = await begin({ init: { limits: { connections: 300, keepAliveMs: 1_000, checkMs: 100 } } })
    const { port, url } = running
    let closed = 0
    const sockets: Socket[] = []
    for (let index = 0; index < 1_000; index += 1) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.on('close', () => (closed += 1))
      socket.resume()
      sockets.push(socket)
      socket.write(`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
      if (index % 50 === 49) {
        const answer = await raw(port, `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)
        expect(answer.status).toBe(200)
      }
    }
    expect((await post(url, CHAT, body)).status).toBe(200)
    await until(() => closed === 1_000)
  })

  test('one connection may ask so many times', async () => {
    running = await begin({ init: { limits: { requestsPerConnection: 5, keepAliveMs: 300 } } })
    const { port } = running
    const one = `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`
    const { head, body: rest } = await raw(port, one.repeat(9))
    expect(`${head}\r\n\r\n${rest}`.match(/HTTP\/1\.1 200/g)?.length).toBe(5)
  })
})
