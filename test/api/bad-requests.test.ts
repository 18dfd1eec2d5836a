import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MODEL } from './fake-peer.ts'
import { failure, parseAnswer, post, raw, request, start } from './support.ts'
import type { Running } from './support.ts'

const messages = [{ role: 'user', content: 'hi' }]
const chat = { model: MODEL, messages }
const CHAT = '/v1/chat/completions'

let running: Running
beforeAll(async () => {
  running = await start()
})
afterAll(() => running.api.close())
beforeEach(() => {
  running.peer.requests.length = 0
})

/** Still alive, and the same request done right works. */
async function stillServes(): Promise<void> {
  expect((await post(running.url, CHAT, chat)).status).toBe(200)
}

describe('numbers and types: each a 400 that names the field', () => {
  const integers = ['max_tokens', 'max_completion_tokens', 'n', 'top_logprobs', 'top_k']
  const reals = ['temperature', 'top_p', 'min_p', 'presence_penalty', 'frequency_penalty', 'repetition_penalty']
  const wrong: [field: string, json: string][] = [
    ...integers.flatMap((field) => ['-1', '1.5', '"10"', '[]', 'true', '1e999', '-9007199254740993'].map(pair(field))),
    ...['1.5', '"10"', '[]', 'true', '1e999', '1e19'].map(pair('seed')),
    ...['max_tokens', 'n', 'top_logprobs', 'top_k'].map(pair2('1e9')),
    ...['max_tokens', 'n', 'max_completion_tokens'].map(pair2('0')),
    ...reals.flatMap((field) => ['"1"', '1e999', '-1e9', '1e9', '{}'].map(pair(field))),
    ...['temperature', 'top_p', 'min_p', 'repetition_penalty'].map(pair2('-0.5')),
    ['stream', '"yes"'],
    ['model', '7'],
    ['model', '""'],
    ['model', `"${'m'.repeat(300)}"`],
    ['stop', '""'],
    ['stop', '[""]'],
    ['stop', JSON.stringify(Array.from({ length: 100_000 }, () => 'x'))],
    ['stop', JSON.stringify('x'.repeat(300))],
    ['stop', '7'],
    ['messages', '[]'],
    ['messages', '"hi"'],
    ['messages', '[{"role":"wizard","content":"x"}]'],
    ['messages', '[{"role":"user"}]'],
    ['messages', '[{"role":"user","content":7}]'],
    ['messages', '[{"role":"user","content":[{"type":"text"}]}]'],
    ['messages', '[null]'],
    ['weft', '{"placement":"somewhere"}'],
    ['weft', '{"placement":{"model":"m","stages":[{"peer":"p","from":-1,"to":2}]}}'],
    ['weft', '{"deadline_ms":-5}'],
    ['weft', '{"draft":7}'],
    ['weft', '{"speculate":"always"}'],
    ['weft', '{"no_such":1}'],
  ]
  function pair(field: string) {
    return (json: string): [string, string] => [field, json]
  }
  function pair2(json: string) {
    return (field: string): [string, string] => [field, json]
  }

  test.each(wrong)('chat: %s = %.40s', async (field, json) => {
    const fields = { model: `"${MODEL}"`, messages: JSON.stringify(messages), logprobs: 'true', [field]: json }
    const body = Object.entries(fields).map(([name, value]) => `"${name}":${value}`)
    const answer = await post(running.url, CHAT, `{${body.join(',')}}`)
    expect(answer.status).toBe(400)
    const told = await failure(answer)
    expect(told.error.type).toBe('invalid_request_error')
    expect(told.error.param?.startsWith(field)).toBe(true)
    expect(told.error.message.length).toBeLessThan(300)
    expect(told.weft.code).toMatch(/^WEFT-API-\d{3}$/)
    expect(running.peer.requests.length).toBe(0)
  })

  test('completions: prompts of no known form, too many choices, ids out of range', async () => {
    const manyPrompts = Array.from({ length: 33 }, () => 'x')
    for (const prompt of [{}, 7, null, [['x']], [[1], 'x'], [-1], [1.5], [1e10], ['a', 1], [{ a: 1 }], manyPrompts]) {
      const answer = await post(running.url, '/v1/completions', { model: MODEL, prompt })
      expect(answer.status, JSON.stringify(prompt)).toBe(400)
      expect((await failure(answer)).error.param).toMatch(/^prompt/)
    }
    const many = { model: MODEL, prompt: Array.from({ length: 20 }, () => 'x'), n: 4 }
    expect(await failure(await post(running.url, '/v1/completions', many))).toMatchObject({ error: { param: 'n' } })
    const top = await post(running.url, CHAT, { ...chat, top_logprobs: 2 })
    expect(await failure(top)).toMatchObject({ error: { param: 'top_logprobs' } })
    expect(running.peer.requests.length).toBe(0)
    await stillServes()
  })
})

describe('bodies', () => {
  const send = (body: string, type = 'application/json'): Promise<Response> =>
    post(running.url, CHAT, body, { 'content-type': type })

  test('what is no JSON object is a 400', async () => {
    for (const body of [
      '',
      'x',
      '[]',
      'null',
      '7',
      '"a"',
      '{"a":NaN}',
      '{"a":1,}',
      "{'a':1}",
      '{"model":"m"',
      '\u0000',
    ])
      expect((await send(body)).status, body).toBe(400)
    await stillServes()
  })

  test('nesting bombs are refused before they are parsed', async () => {
    const deep = (open: string, times: number): string => open.repeat(times)
    const half = 500_000
    for (const body of [
      deep('[', half * 2),
      deep('{"a":', half / 4),
      `{"messages":${deep('[', half)}${deep(']', half)}}`,
      `{"a":"\\"[[","messages":${deep('[{"a":', 10_000)}`,
    ]) {
      const answer = await send(body)
      expect(answer.status).toBe(400)
      expect((await failure(answer)).error.message).toContain('nested deeper')
    }
    expect(
      (await send(`{"model":"${MODEL}","messages":[{"role":"user","content":"${deep('[{', 1000)}"}]}`)).status,
    ).toBe(200)
    await stillServes()
  })

  test('prototype keys are refused, escaped or not', async () => {
    for (const body of [
      `{"model":"${MODEL}","__proto__":{"temperature":9}}`,
      `{"model":"${MODEL}","messages":[{"\\u005f_proto__":{"role":"user"}}]}`,
      `{"constructor":{"prototype":{"x":1}}}`,
    ])
      expect(await failure(await send(body)), body).toMatchObject({ weft: { code: 'WEFT-API-012' } })
    expect(Object.keys(Object.prototype)).toEqual([])
  })

  test('one byte over a mebibyte is a 413, the mebibyte is not', async () => {
    const filled = (size: number): string => {
      const rest = `{"model":"${MODEL}","messages":[{"role":"user","content":""}]}`
      return rest.replace('""', `"${'x'.repeat(size - rest.length)}"`)
    }
    expect((await send(filled(1 << 20))).status).toBe(200)
    const answer = await raw(
      running.port,
      `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${(1 << 20) + 1}\r\n\r\n`,
    )
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.body)).toMatchObject({ weft: { code: 'WEFT-API-013' } })
    await stillServes()
  })

  test('a client that sends all of a body that is too large before it reads finds the 413, not a reset', async () => {
    for (const [size, close] of [
      [3 << 20, true],
      [40 << 20, true],
      [40 << 20, false],
    ] as const) {
      const head = `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nContent-Type: application/json\r\n`
      const body = Buffer.alloc(size, 'x')
      const last = close ? 'Connection: close\r\n' : ''
      // Kept open, the connection takes the next request: the body before it was read to its end.
      const next = close ? '' : `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nConnection: close\r\n\r\n`
      const bytes = Buffer.concat([
        Buffer.from(`${head}${last}Content-Length: ${size}\r\n\r\n`),
        body,
        Buffer.from(next),
      ])
      const answer = await raw(running.port, bytes)
      expect(answer.status).toBe(413)
      expect(answer.body).toContain('WEFT-API-013')
      expect(answer.body.includes('HTTP/1.1 200')).toBe(!close)
    }
    await stillServes()
  })

  test('a chunked body that grows beyond the cap is cut, length announced or not', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
    const answer = await raw(
      running.port,
      `POST ${CHAT} HTTP/1.1\r\nHost: 127.0.0.1:${running.port}\r\nContent-Type: application/json\r\n` +
        `Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(17)}`,
    )
    expect(answer.status).toBe(413)
    await stillServes()
  })

  test('only uncompressed JSON is taken on routes that change something (415), an empty type too', async () => {
    const body = JSON.stringify(chat)
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/json',
    ])
      expect((await send(body, type)).status, type).toBe(415)
    const bare = await request(running.port, '/api/v1/peers/x/approve', [`Host: 127.0.0.1:${running.port}`], 'POST')
    expect(bare.status).toBe(415)
    const zipped = await post(running.url, CHAT, body, { 'content-encoding': 'gzip' })
    expect(zipped.status).toBe(415)
    expect((await send(body, 'application/json; charset=utf-8')).status).toBe(200)
    expect(running.peer.calls).toEqual([])
  })

  test('odd text is text: NUL, right-to-left, marks, special tokens, lone surrogates, invalid UTF-8', async () => {
    const given = ['\u0000', '\u202eabc', `e${'\u0301'.repeat(100_000)}`, '<|im_start|>system', '\ud800x']
    for (const content of given)
      expect((await post(running.url, CHAT, { model: MODEL, messages: [{ role: 'user', content }] })).status).toBe(200)
    const bytes = Buffer.from(`{"model":"${MODEL}","messages":[{"role":"user","content":"\u00ff"}]}`, 'latin1')
    const answer = await fetch(`${running.url}${CHAT}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: bytes,
    })
    expect(answer.status).toBe(200)
    expect(running.peer.requests.at(-1)?.input).toMatchObject({ messages: [{ content: '\u{fffd}' }] })
    expect(running.peer.requests[4]?.input).toMatchObject({ messages: [{ content: '\u{fffd}x' }] })
  })
})

describe('requests that are hardly HTTP', () => {
  const host = (): string => `Host: 127.0.0.1:${running.port}`

  test('paths that lead nowhere are a 404 with our body, however they are written', async () => {
    const paths = [
      '//',
      '/nope',
      '/%2e%2e/etc/passwd',
      '/v1/..;/api',
      '/../api/v1/state',
      '/v1/%2e%2e/healthz',
      '/%',
      '/%zz',
    ]
    for (const path of [...paths, '//healthz', '/healthz/', '/HEALTHZ', `/${'a'.repeat(5_000)}`]) {
      const answer = await request(running.port, path, [host()])
      expect(answer.status, path).toBe(404)
      expect(JSON.parse(answer.body), path).toMatchObject({ weft: { code: 'WEFT-API-015' } })
    }
    expect((await request(running.port, '/healthz', [host()])).status).toBe(200)
  })

  test('the wrong method is no way in, nor is an override of it', async () => {
    expect((await request(running.port, CHAT, [host()])).status).toBe(405)
    const override = [host(), 'X-HTTP-Method-Override: DELETE', 'Content-Type: application/json']
    expect((await request(running.port, `/api/v1/models/${MODEL}?_method=DELETE`, override)).status).toBe(200)
    expect((await request(running.port, '/healthz', [host()], 'TRACE')).status).toBe(405)
    expect(running.peer.calls).toEqual([])
  })

  test('a path that is there says which methods it has: 405, whatever came with it, and whoever asks twice', async () => {
    const cases = [
      ['GET', CHAT, 'POST'],
      ['PUT', '/v1/models', 'GET, HEAD'],
      ['POST', '/healthz', 'GET, HEAD'],
      ['DELETE', '/', 'GET, HEAD'],
      ['PATCH', '/v1/streams/abc', 'GET'],
      ['POST', `/api/v1/models/a/b?x=1`, 'DELETE, GET, HEAD'],
      ['OPTIONS', '/api/v1/peers/x/approve', 'POST'],
      ['HEAD', '/api/v1/events', 'GET'],
    ] as const
    for (let round = 0; round < 2; round++)
      for (const [method, path, allowed] of cases) {
        const answer = await request(
          running.port,
          path,
          [host(), 'Content-Type: text/plain', 'Content-Length: 0'],
          method,
        )
        expect(answer.status, `${method} ${path}`).toBe(405)
        expect(answer.head.toLowerCase().split('\r\n'), path).toContain(`allow: ${allowed}`.toLowerCase())
        if (method !== 'HEAD') expect(JSON.parse(answer.body)).toMatchObject({ weft: { code: 'WEFT-API-048' } })
      }
    for (const path of ['/v1/streams/', '/api/v1/peers//approve', '/v1', '/v1/chat'])
      expect((await request(running.port, path, [host()], 'PUT')).status, path).toBe(404)
    // A stranger's page learns nothing of it.
    const foreign = await request(running.port, CHAT, [host(), 'Origin: http://evil.example'], 'PUT')
    expect(foreign.status).toBe(403)
    expect(running.peer.calls).toEqual([])
  })

  test('absolute addresses, doubled lengths, length with chunks, garbage: 400', async () => {
    const type = 'Content-Type: application/json'
    const cases = [
      `GET http://127.0.0.1:${running.port}/healthz HTTP/1.1\r\n${host()}\r\nConnection: close\r\n\r\n`,
      `POST ${CHAT} HTTP/1.1\r\n${host()}\r\n${type}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      `POST ${CHAT} HTTP/1.1\r\n${host()}\r\n${type}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `POST ${CHAT} HTTP/1.1\r\n${host()}\r\n${type}\r\nContent-Length: -1\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\n${host()}\r\n${host()}\r\nConnection: close\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\n${host()}\r\nX: a\u0000b\r\n\r\n`,
      '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001garbage\r\n\r\n',
    ]
    for (const bytes of cases) {
      const answer = await raw(running.port, bytes)
      expect(answer.status, bytes).toBe(400)
    }
    const long = await raw(running.port, `GET /healthz HTTP/1.1\r\n${host()}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
    expect(long.status).toBe(431)
    await stillServes()
  })

  test('pipelined requests are answered in order', async () => {
    const one = `GET /version HTTP/1.1\r\n${host()}\r\n\r\n`
    const last = `GET /healthz HTTP/1.1\r\n${host()}\r\nConnection: close\r\n\r\n`
    const { head, body } = await raw(running.port, one.repeat(20) + last)
    const statuses = `${head}\r\n\r\n${body}`.match(/HTTP\/1\.1 200/g)
    expect(statuses?.length).toBe(21)
    expect(body.endsWith('{"status":"ok"}')).toBe(true)
  })

  test('what a caller writes cannot forge log lines, nor grow the metrics', async () => {
    for (let index = 0; index < 200; index += 1)
      await post(running.url, `/made-up-${index}`, { model: `x${index}\r\n` })
    await post(running.url, CHAT, { model: 'a\r\n{"level":"fatal"}\u001b[2J', messages })
    const metrics = await (await fetch(`${running.url}/metrics`)).text()
    expect(metrics.split('\n').filter((line) => line.startsWith('weft_http_requests_total{')).length).toBeLessThan(30)
    expect(metrics).not.toContain('made-up')
    const lines = running.log().trim().split('\n')
    for (const line of lines) expect(JSON.parse(line)).not.toMatchObject({ level: 'fatal' })
    expect(running.log()).not.toContain('\u001b')
  })

  test('no answer carries a stack or a path of ours', async () => {
    const answer = parseAnswer(
      (await raw(running.port, `PATCH /v1 HTTP/1.1\r\n${host()}\r\nConnection: close\r\n\r\n`)).head,
    )
    expect(answer.head).not.toMatch(/node_modules|\.ts:/)
  })
})
