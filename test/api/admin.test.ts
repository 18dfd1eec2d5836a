import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { API_ERRORS, ListenError, PortInUseError, SocketInUseError } from '../../src/api/index.ts'
import { MODEL } from './fake-peer.ts'
import { buildApi, failure, open, post, start, until } from './support.ts'
import type { Running } from './support.ts'

interface Line {
  readonly type: string
  readonly [field: string]: unknown
}

async function lines(answer: Response): Promise<Line[]> {
  const text = await answer.text()
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

/** Over a Unix socket, which fetch cannot. */
function overSocket(
  path: string,
  route: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const message = httpRequest(
      { socketPath: path, path: route, method, headers: { 'content-type': 'application/json', ...headers } },
      (answer) => {
        let text = ''
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
        answer.on('error', reject)
      },
    )
    message.on('error', reject)
    message.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const HELD = { model: MODEL, input: { kind: 'text', text: 'x' } }
/** A schema that no answer can be held to. */
const REFUSED = JSON.stringify({ type: 'object', properties: { a: { not: {} } } })

describe('admin routes', () => {
  let running: Running
  beforeAll(async () => {
    running = await start({ needs: { catalogueErrors: API_ERRORS } })
  })
  afterAll(() => running.api.close())
  beforeEach(() => {
    Object.assign(running.peer, { failAt: null, progressLines: 3 })
    running.peer.calls.length = 0
  })
  const get = async (path: string): Promise<unknown> => (await fetch(`${running.url}${path}`)).json()

  test('state, models, a manifest, one error of the catalogue', async () => {
    expect(await get('/api/v1/state')).toMatchObject({ schema: 'weft.status/1', peer: { name: 'calm-otter' } })
    expect(await get('/api/v1/models')).toMatchObject({ models: [{ model: MODEL }] })
    expect(await get(`/api/v1/models/${encodeURIComponent(MODEL)}`)).toMatchObject({ schema: 'weft.manifest/1' })
    expect((await fetch(`${running.url}/api/v1/models/none`)).status).toBe(404)
    expect(await get('/api/v1/errors/WEFT-API-001')).toMatchObject({ title: 'Port in use' })
    expect((await fetch(`${running.url}/api/v1/errors/WEFT-API-999`)).status).toBe(404)
  })

  test('health: alive whatever happens, ready only when the peer says so, with its reasons', async () => {
    expect(await get('/healthz')).toEqual({ status: 'ok' })
    expect(await get('/version')).toMatchObject({ name: 'weft', version: '0.1.0' })
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200)
    running.peer.isReady = { ready: false, reasons: ['no model is loaded'] }
    const answer = await fetch(`${running.url}/readyz`)
    expect([answer.status, await answer.json()]).toEqual([503, { ready: false, reasons: ['no model is loaded'] }])
    expect((await fetch(`${running.url}/healthz`)).status).toBe(200)
    const metrics = await fetch(`${running.url}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('version=0.0.4')
    expect(await metrics.text()).toContain('weft_failovers_total 0')
  })

  test('generate streams the events as they are, one a line, and ends without another', async () => {
    const body = { model: MODEL, input: { kind: 'ids', ids: [1, 2] }, maxTokens: 3, ignoreEnd: true, logprobs: 0 }
    const answer = await post(running.url, '/api/v1/generate', body)
    expect(answer.headers.get('content-type')).toContain('application/x-ndjson')
    expect(answer.headers.get('x-weft-route')).toBe('12D3KooWFake[0:2],12D3KooWOther[2:4]')
    const events = await lines(answer)
    expect(events.map((event) => event.type)).toEqual(['start', 'prefill', 'token', 'token', 'token', 'end'])
    expect(running.peer.requests.at(-1)).toMatchObject({ ...body, sampling: { temperature: 0, topP: 1, seed: 0 } })
  })

  test('generate: an error before the start is a status, later it is the last line with all its facts', async () => {
    const body = { model: MODEL, input: { kind: 'text', text: 'x' } }
    const early = await post(running.url, '/api/v1/generate', { ...body, model: 'none' })
    expect(early.status).toBe(404)
    running.peer.failAt = 2
    const late = await lines(await post(running.url, '/api/v1/generate', body))
    expect(late.at(-1)).toEqual({
      type: 'error',
      error: { code: 'WEFT-INF-503', message: 'peer lost in the middle', why: null, hint: 'a hint', details: {} },
    })
    expect(late.filter((line) => line.type === 'token').length).toBe(2)
  })

  test.each([
    ['/api/v1/generate', { model: MODEL, input: { kind: 'nope' } }, 'input'],
    ['/api/v1/generate', { model: MODEL, input: { kind: 'ids', ids: [-1] } }, 'input.ids[0]'],
    ['/api/v1/generate', { model: MODEL, input: { kind: 'text', text: 'x' }, sampling: { heat: 1 } }, 'sampling.heat'],
    ['/api/v1/generate', { model: MODEL, input: { kind: 'text', text: 'x' }, max_tokens: 1 }, 'max_tokens'],
    ['/api/v1/generate', { ...HELD, format: { kind: 'schema', text: REFUSED } }, 'format.text.properties.a.not'],
    ['/api/v1/generate', { ...HELD, format: { kind: 'schema', text: '{' } }, 'format.text'],
    ['/api/v1/generate', { ...HELD, format: { kind: 'calls', text: REFUSED } }, 'format.text'],
    ['/api/v1/tokenize', { model: MODEL }, 'input'],
    ['/api/v1/detokenize', { model: MODEL, ids: ['1'] }, 'ids[0]'],
    ['/api/v1/import', { source: '' }, 'source'],
    ['/api/v1/import', { source: 'x', weights: 'q2' }, 'weights'],
    ['/api/v1/deploy', { model: MODEL, placement: { model: MODEL, stages: [] } }, 'placement'],
    ['/api/v1/undeploy', {}, 'model'],
    ['/api/v1/ping', { peer: 'p', count: -1 }, 'count'],
    ['/api/v1/ping', { peer: 'p', bytes: 1e9 }, 'bytes'],
    ['/api/v1/netcheck', { peers: 'p' }, 'peers'],
    ['/api/v1/peers/p/approve', { admit: false }, 'admit'],
  ])('%s with %j names %s', async (path, body, param) => {
    const answer = await post(running.url, path, body)
    expect(answer.status).toBe(400)
    expect((await failure(answer)).error.param).toMatch(param)
    expect(running.peer.calls).toEqual([])
  })

  test('tokenize and detokenize', async () => {
    const ids = await post(running.url, '/api/v1/tokenize', { model: MODEL, input: { kind: 'text', text: 'x' } })
    expect(await ids.json()).toEqual({ ids: [0, 1, 2] })
    const text = await post(running.url, '/api/v1/detokenize', { model: MODEL, ids: [0, 1] })
    expect(await text.json()).toEqual({ text: 'Hello mesh' })
  })

  test('import tells progress, then the result or the error; a flood of progress is thinned out', async () => {
    const good = await lines(await post(running.url, '/api/v1/import', { source: 'file.gguf', name: 'm' }))
    expect(good[0]).toMatchObject({ type: 'progress' })
    expect(good.at(-1)).toMatchObject({ type: 'result', result: { schema: 'weft.model/1', model: 'm' } })
    running.peer.progressLines = 10_000
    const flood = await lines(await post(running.url, '/api/v1/import', { source: 'x' }))
    expect(flood.length).toBeLessThan(100)
    expect(flood.at(-1)?.type).toBe('result')
    running.peer.progressLines = 0
    expect((await post(running.url, '/api/v1/import', { source: 'bad' })).status).toBe(404)
  })

  test('deploy, undeploy, remove, ping, approve and deny reach the peer', async () => {
    const stages = [{ peer: 'origin', from: 0, to: 4 }]
    const placed = await lines(
      await post(running.url, '/api/v1/deploy', { model: MODEL, placement: { model: MODEL, stages } }),
    )
    expect(placed.at(-1)).toMatchObject({ type: 'result', result: { schema: 'weft.placement/1', stages } })
    const spread = await lines(await post(running.url, '/api/v1/deploy', { model: MODEL, placement: 'spread' }))
    expect(spread.at(-1)?.type).toBe('result')
    const pings = await lines(await post(running.url, '/api/v1/ping', { peer: 'p', count: 3 }))
    expect(pings.map((line) => line['seq'])).toEqual([0, 1, 2])
    const checked = await lines(await post(running.url, '/api/v1/netcheck', {}))
    expect(checked.at(-1)).toMatchObject({ type: 'result', result: { schema: 'weft.netcheck/1' } })
    await post(running.url, '/api/v1/undeploy', { model: MODEL })
    await fetch(`${running.url}/api/v1/models/${MODEL}`, { method: 'DELETE' })
    await post(running.url, '/api/v1/peers/12D3/approve', {})
    await post(running.url, '/api/v1/peers/12D3/deny', {})
    expect(running.peer.calls).toEqual([`undeploy ${MODEL}`, `remove ${MODEL}`, 'approve 12D3', 'deny 12D3'])
  })

  test('shutdown is not taken over TCP', async () => {
    const answer = await post(running.url, '/api/v1/shutdown', { drain_ms: 1 })
    expect([answer.status, (await failure(answer)).weft.code]).toEqual([403, 'WEFT-API-037'])
    expect(running.peer.calls).toEqual([])
  })
})

describe('events', () => {
  let running: Running
  beforeEach(async () => {
    running = await start({ init: { limits: { eventStreams: 2 } } })
  })
  afterEach(() => running.api.close())
  const event = (number: number): { event: string; at: string; data: { text: string } } => ({
    event: 'peer.joined',
    at: '2026-01-01T00:00:00.000Z',
    data: { text: `${number}\n\ndata: forged` },
  })

  async function read(until: string, lastEventId?: string): Promise<string> {
    const answer = await fetch(`${running.url}/api/v1/events`, {
      headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
    })
    expect(answer.headers.get('content-type')).toContain('text/event-stream')
    let text = ''
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString()
      if (text.includes(until)) break
    }
    return text
  }

  test('come with ids, and a reader that comes back gets exactly what it missed', async () => {
    const first = read('"3\\n')
    await until(() => /api\/v1\/events/.test(running.log()) || running.peer.listeners() === 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (const number of [1, 2, 3]) running.peer.emit(event(number))
    const text = await first
    expect(text).toContain('event: peer.joined\n')
    expect(text).not.toMatch(/^data: forged/m)
    const ids = [...text.matchAll(/^id: (.+)$/gm)].map((match) => match[1])
    expect(ids.length).toBe(3)
    running.peer.emit(event(4))
    const again = await read('"4\\n', ids[1])
    expect([...again.matchAll(/"text":"(\d)/g)].map((match) => match[1])).toEqual(['3', '4'])
    expect(again).not.toContain('event: reset')
    const stranger = await read('"4\\n', 'otherboot-9')
    expect(stranger).toContain('event: reset')
  })

  test('have so many readers at once; a place comes back when one leaves', async () => {
    const controllers = [new AbortController(), new AbortController()]
    for (const { signal } of controllers) await fetch(`${running.url}/api/v1/events`, { signal })
    expect((await fetch(`${running.url}/api/v1/events`)).status).toBe(503)
    controllers[0]?.abort()
    await until(async () => {
      const controller = new AbortController()
      const answer = await fetch(`${running.url}/api/v1/events`, { signal: controller.signal })
      controller.abort()
      return answer.status === 200
    })
    expect((await fetch(`${running.url}/api/v1/events`, { method: 'HEAD' })).status).toBe(405)
  })

  test('a reader that does not read is cut, not kept in memory', async () => {
    const socket = await open(running.port)
    socket.pause()
    socket.write(`GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\n\r\n`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const big = { ...event(1), data: { text: 'x'.repeat(20_000) } }
    for (let index = 0; index < 3_000; index += 1) {
      running.peer.emit(big)
      if (index % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => undefined))
    socket.resume()
    await closed
  })
})

describe('listening and closing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-api-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('a port in use names the address and a free port, which is really free', async () => {
    await using first = await start()
    await using second = buildApi()
    const error = await second.api
      .listen({ host: '127.0.0.1', port: first.port })
      .then(String, (reason: unknown) => reason)
    expect(error).toBeInstanceOf(PortInUseError)
    const { message, hint, details } = error as PortInUseError
    expect(message).toContain(`127.0.0.1:${first.port}`)
    expect(hint).toContain(`--http 127.0.0.1:${String(details['free'])}`)
    const bound = await second.api.listen({ host: 'localhost', port: details['free'] as number })
    expect(bound.url).toBe(`http://127.0.0.1:${String(details['free'])}`)
    expect((await fetch(`${bound.url}/healthz`)).status).toBe(200)
  })

  test('an address of another machine is refused with a code', async () => {
    await using built = buildApi()
    await expect(built.api.listen({ host: '192.0.2.1', port: 0 })).rejects.toBeInstanceOf(ListenError)
  })

  test('the socket is for its owner, needs neither key nor Host, and takes a shutdown', async () => {
    await using built = buildApi()
    const path = join(folder, 'deep', 'weft.sock')
    await built.api.listenSocket(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'deep')).mode & 0o777).toBe(0o700)
    const state = await overSocket(path, '/api/v1/state', undefined, {
      host: 'anything',
      origin: 'https://evil.example',
    })
    expect(state.status).toBe(200)
    const generated = await overSocket(path, '/api/v1/generate', { model: MODEL, input: { kind: 'text', text: 'x' } })
    expect(generated.text).toContain('"type":"end"')
    const stopping = await overSocket(path, '/api/v1/shutdown', { drain_ms: 250 })
    expect([stopping.status, JSON.parse(stopping.text)]).toEqual([202, { stopping: true, pid: process.pid }])
    await until(() => built.peer.calls.includes('stop 250'))
  })

  test('the owner of the process can say what a shutdown does', async () => {
    let drained = -1
    const shutdown = async ({ drain }: { drain: number }): Promise<void> => {
      drained = drain
    }
    await using built = buildApi({ needs: { shutdown } })
    const path = join(folder, 'own.sock')
    await built.api.listenSocket(path)
    await overSocket(path, '/api/v1/shutdown', {})
    await until(() => drained === 0)
    expect(built.peer.calls).toEqual([])
  })

  test('a socket that is answered is refused, a dead one is replaced, a file is left alone', async () => {
    const path = join(folder, 'one.sock')
    const first = buildApi()
    await first.api.listenSocket(path)
    await using second = buildApi()
    await expect(second.api.listenSocket(path)).rejects.toBeInstanceOf(SocketInUseError)
    expect((await overSocket(path, '/healthz')).status).toBe(200)
    await first.api.close()
    const program = "require('net').createServer().listen(process.argv[1], () => console.log('up'))"
    const child = spawn(process.execPath, ['-e', program, path], { stdio: ['ignore', 'pipe', 'ignore'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    expect(statSync(path).isSocket()).toBe(true)
    await second.api.listenSocket(path)
    expect((await overSocket(path, '/healthz')).status).toBe(200)
    writeFileSync(join(folder, 'file'), 'precious')
    await expect(second.api.listenSocket(join(folder, 'file'))).rejects.toBeInstanceOf(ListenError)
    await expect(second.api.listenSocket(join(folder, 'x'.repeat(200)))).rejects.toBeInstanceOf(ListenError)
  })

  test('closing ends event readers and idle connections at once, tells streams, and can be done twice', async () => {
    const running = await start()
    const { peer, url, port } = running
    peer.hold = (index, signal) =>
      index < 1
        ? Promise.resolve()
        : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const events = await fetch(`${url}/api/v1/events`)
    await open(port)
    const body = { model: MODEL, messages: [{ role: 'user', content: 'x' }], stream: true }
    const stream = await post(url, '/v1/chat/completions', body)
    await Promise.all([running.api.close(), running.api.close()])
    expect(await stream.text()).toContain('WEFT-API-004')
    expect(await events.text()).toContain('retry:')
    expect(peer.listeners()).toBe(0)
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  test('a client that does not read cannot hold up the end', async () => {
    const running = await start()
    Object.assign(running.peer, { tokens: 1_000_000, word: 'x'.repeat(10_000) })
    const socket = await open(running.port)
    socket.pause()
    const json = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'x' }], stream: true })
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nContent-Type: application/json`
    socket.write(`${head}\r\nContent-Length: ${json.length}\r\n\r\n${json}`)
    let before = -1
    await until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      const still = running.peer.produced > 0 && running.peer.produced === before
      before = running.peer.produced
      return still
    })
    await running.api.close()
    expect([running.peer.aborted, running.peer.ended]).toEqual([1, 1])
    socket.destroy()
  })

  test('while it drains nothing new is begun, also on a connection that is open', async () => {
    const running = await start()
    let release = (): void => undefined
    running.peer.hold = (index) => (index === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve())
    const body = { model: MODEL, messages: [{ role: 'user', content: 'x' }], stream: true }
    const json = JSON.stringify(body)
    const socket = await open(running.port)
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nContent-Type: application/json`
    const whole = `${head}\r\nContent-Length: ${json.length}\r\n\r\n${json}`
    socket.write(whole)
    await until(() => text.includes('Hello'))
    const gone = new Promise((resolve) => socket.on('close', resolve))
    const closed = running.api.close({ drain: 30_000 })
    socket.write(whole)
    await new Promise((resolve) => setTimeout(resolve, 50))
    release()
    await Promise.all([closed, gone])
    expect(text).toContain('[DONE]')
    expect(running.peer.requests.length).toBe(1)
    socket.destroy()
  })

  test('every error of this room has a code of its own', () => {
    const codes = API_ERRORS.map((info) => info.code)
    expect(new Set(codes).size).toBe(codes.length)
    expect(codes.length).toBeGreaterThan(20)
    for (const info of API_ERRORS) {
      expect(info.code).toMatch(/^WEFT-API-\d{3}$/)
      expect(info.http).toBeGreaterThanOrEqual(400)
      expect(info.remedy.length * info.meaning.length).toBeGreaterThan(0)
    }
  })

  test('draining lets what is in flight end by itself', async () => {
    const running = await start()
    let release = (): void => undefined
    running.peer.hold = (index) => (index === 1 ? new Promise((resolve) => (release = resolve)) : Promise.resolve())
    const body = { model: MODEL, messages: [{ role: 'user', content: 'x' }], stream: true }
    const stream = await post(running.url, '/v1/chat/completions', body)
    const closed = running.api.close({ drain: 30_000 })
    setTimeout(() => release(), 50)
    const text = await stream.text()
    await closed
    expect(text).toContain('[DONE]')
    expect(text).not.toContain('error')
  })
})
