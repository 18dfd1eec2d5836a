/** The socket of a home when what listens there is not what it should be. */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openPeer } from '../../src/cli/peer-access.ts'
import { createRemotePeer } from '../../src/cli/peer-remote.ts'
import { socketPath, systemClock } from '../../src/util/index.ts'
import { MODEL } from '../api/fake-peer.ts'
import { call, emptyHome, json, runningHome } from './support.ts'

const needs = { clock: systemClock(), env: {} }

/** A server that answers every connection with these bytes, then as told. */
async function listening(home: string, answer: (socket: Socket) => void): Promise<AsyncDisposable> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  await new Promise<void>((resolve) => server.listen(socketPath(home, {}), resolve))
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'

describe('the socket of a home', () => {
  test.each([
    ['garbage', (socket: Socket) => void socket.end('\u0000\u0001 hello\r\n\r\n')],
    ['nothing at all', (socket: Socket) => void socket.end()],
    ['no JSON', (socket: Socket) => void socket.end(`${HEAD}content-length: 3\r\n\r\n<p>`)],
    ['the state of something else', (socket: Socket) => void socket.end(`${HEAD}content-length: 2\r\n\r\n{}`)],
    [
      'an answer that breaks off',
      (socket: Socket) => void socket.write(`${HEAD}content-length: 99\r\n\r\n{`, () => socket.destroy()),
    ],
    [
      'an error without a code',
      (socket: Socket) => void socket.end('HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nnope'),
    ],
  ])('%s is an error with a code, not a peer that is absent', async (_name, answer) => {
    await using it = await emptyHome()
    await using _server = await listening(it.home, answer)
    const { status, stdout } = await call(['status', '--home', it.home, '--json'])
    expect(status).toBe(7)
    expect(json(stdout)).toMatchObject({ error: { code: 'WEFT-CLI-012' } })
  })

  test('a socket file that a dead peer left behind means that none is running', async () => {
    await using it = await emptyHome()
    const server = await listening(it.home, () => {})
    await server[Symbol.asyncDispose]()
    const { status } = await call(['status', '--home', it.home])
    expect(status).toBe(3)
  })

  test('a file in its place is refused', async () => {
    await using it = await emptyHome()
    writeFileSync(join(it.home, 'weft.sock'), '')
    expect(json((await call(['status', '--home', it.home, '--json'])).stdout)).toMatchObject({
      error: { code: 'WEFT-CLI-013' },
    })
  })

  test('an answer that ends without its end is told as such', async () => {
    await using it = await emptyHome()
    const line = JSON.stringify({ type: 'token', id: 1, text: 'half' })
    await using _server = await listening(it.home, (socket) => {
      socket.end(`${HEAD}transfer-encoding: chunked\r\n\r\n${(line.length + 1).toString(16)}\r\n${line}\n\r\n0\r\n\r\n`)
    })
    const remote = createRemotePeer(needs, { home: it.home, socket: socketPath(it.home, {}) })
    await expect(remote.importModel({ source: 'x' }, () => {})).rejects.toMatchObject({ code: 'WEFT-CLI-012' })
  })
})

describe('access to a running peer', () => {
  test('every call arrives, twice in a row', async () => {
    await using it = await runningHome()
    const access = await openPeer(needs, it.home, { local: 'never' })
    expect(access.kind).toBe('running')
    for (let round = 0; round < 2; round++) {
      expect((await access.models()).map((model) => model.model)).toEqual([MODEL])
      expect((await access.manifest(MODEL)).model).toBe(MODEL)
      expect(await access.tokenize(MODEL, { kind: 'text', text: 'x' })).toEqual({ ids: [0, 1, 2] })
      expect(await access.detokenize(MODEL, [0, 1])).toBe('Hello mesh')
      const times = []
      for await (const reply of access.ping('x', { count: 3 })) times.push(reply.seq)
      expect(times).toEqual([0, 1, 2])
      await access.approve('12D3', true)
      await access.approve('12D3', false)
    }
    await access.shutdown(250)
    await expect.poll(() => it.peer.calls).toEqual(expect.arrayContaining(['approve 12D3', 'deny 12D3', 'stop 250']))
    await access.close()
  })

  test('an aborted call rejects with the reason of its signal', async () => {
    await using it = await runningHome()
    const access = await openPeer(needs, it.home, { local: 'never' })
    const reason = new Error('enough')
    await expect(access.status(AbortSignal.abort(reason))).rejects.toBe(reason)
  })

  test('an answer that nobody reads on is stopped at the peer', async () => {
    await using it = await runningHome()
    it.peer.tokens = 100_000
    it.peer.hold = () => new Promise((resolve) => setImmediate(resolve))
    const access = await openPeer(needs, it.home, { local: 'never' })
    const request = { model: MODEL, input: { kind: 'text', text: 'x' }, sampling: { ...GREEDY } } as const
    for await (const event of access.generate(request)) if (event.type === 'token') break
    await expect.poll(() => it.peer.ended).toBe(1)
    expect(it.peer.produced).toBeLessThan(100_000)
  })
})

const GREEDY = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: 0,
} as const
