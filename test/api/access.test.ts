import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MODEL } from './fake-peer.ts'
import { KEY, post, READ_KEY, request, start } from './support.ts'
import type { Running } from './support.ts'

const APP = 'https://chat.example'
const CHAT = '/v1/chat/completions'
const body = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] }

describe('E14: what a web page may not do to a peer on loopback, each with what is right beside it', () => {
  let running: Running
  let host: string
  beforeAll(async () => {
    running = await start({ init: { cors: [APP], hosts: ['weft.home', 'mesh.home:8080'] } })
    host = `Host: 127.0.0.1:${running.port}`
  })
  afterAll(() => running.api.close())
  const get = (headers: string[], path = '/api/v1/state'): Promise<number> =>
    request(running.port, path, headers).then((answer) => answer.status)

  test('rebinding: any Host that is not ours is a 403, on every route, unknown ones and bad ones too', async () => {
    const { port } = running
    const evil = [`evil.example`, `evil.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`, `10.0.0.1:${port}`]
    const odd = [`localhost.evil.example:${port}`, `127.0.0.1.nip.io:${port}`, `a@127.0.0.1:${port}`, `[::2]:${port}`]
    for (const name of [...evil, ...odd, `127.0.0.1:${port}:${port}`, `localhost:${port}.`, 'mesh.home:9'])
      for (const path of ['/healthz', '/api/v1/state', '/nope', '/%'])
        expect(await get([`Host: ${name}`], path), `${name} ${path}`).toBe(403)
    const good = [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`, `127.9.9.9:${port}`]
    for (const name of [...good, 'weft.home', 'weft.home:1234', 'mesh.home:8080'])
      expect(await get([`Host: ${name}`]), name).toBe(200)
  })

  test('cross-origin: a foreign Origin is a 403, also null and a neighbour port; ours and the allowed one are not', async () => {
    const { port } = running
    const foreign = [
      'https://evil.example',
      'null',
      `http://127.0.0.1:${port + 1}`,
      `https://127.0.0.1:${port}`,
      `${APP}.evil`,
    ]
    for (const origin of foreign) {
      expect(await get([host, `Origin: ${origin}`]), origin).toBe(403)
      const posted = await post(running.url, CHAT, body, { origin })
      expect(posted.status, origin).toBe(403)
      expect(posted.headers.get('access-control-allow-origin')).toBe(null)
    }
    expect(running.peer.requests.length).toBe(0)
    expect(await get([host, `Origin: http://127.0.0.1:${port}`])).toBe(200)
    expect(await get([`Host: localhost:${port}`, `Origin: http://127.0.0.1:${port}`])).toBe(403)
    const allowed = await post(running.url, CHAT, { ...body, stream: true }, { origin: APP })
    expect(allowed.status).toBe(200)
    expect(allowed.headers.get('access-control-allow-origin')).toBe(APP)
    expect(allowed.headers.get('access-control-expose-headers')).toContain('x-weft-route')
    await allowed.text()
  })

  test('preflight: only an allowed origin is told yes; there is no wildcard', async () => {
    const ask = (origin: string): ReturnType<typeof request> =>
      request(running.port, CHAT, [host, `Origin: ${origin}`, 'Access-Control-Request-Method: POST'], 'OPTIONS')
    const yes = await ask(APP)
    expect(yes.status).toBe(204)
    expect(yes.head.toLowerCase()).toContain(`access-control-allow-origin: ${APP}`)
    expect(yes.head.toLowerCase()).toContain('authorization')
    const no = await ask('https://evil.example')
    expect(no.status).toBe(403)
    expect(no.head.toLowerCase()).not.toContain('access-control-allow')
  })

  test('pictures, scripts and frames of other sites are refused; a link to the page is not', async () => {
    for (const site of ['cross-site', 'same-site'])
      for (const mode of ['no-cors', 'cors'])
        expect(await get([host, `Sec-Fetch-Site: ${site}`, `Sec-Fetch-Mode: ${mode}`])).toBe(403)
    expect(await get([host, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate'], '/')).toBe(200)
    expect(await get([host, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Mode: cors'])).toBe(200)
    expect(await get([host, 'Sec-Fetch-Site: none', 'Sec-Fetch-Mode: navigate'])).toBe(200)
  })

  test('a form cannot be posted: without Origin its types are a 415', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      const answer = await post(running.url, '/api/v1/undeploy', `{"model":"${MODEL}"}`, { 'content-type': type })
      expect(answer.status).toBe(415)
    }
    expect(running.peer.calls).toEqual([])
    expect((await post(running.url, '/api/v1/undeploy', { model: MODEL })).status).toBe(200)
    expect(running.peer.calls).toEqual([`undeploy ${MODEL}`])
  })

  test('a WebSocket is a 403, with any origin; other upgrades are ignored, as HTTP allows', async () => {
    const upgrade = ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    for (const origin of [[], ['Origin: https://evil.example'], [`Origin: http://127.0.0.1:${running.port}`]])
      expect(await get([host, ...upgrade, ...origin], '/api/v1/events')).toBe(403)
    expect(await get([host, 'Upgrade: h2c'], '/healthz')).toBe(200)
  })

  test('a key in the address is refused even where none is needed, and never logged', async () => {
    for (const name of ['key', 'api_key', 'token', 'access_token', 'Authorization'])
      expect(await get([host], `/v1/models?${name}=wk_0123456789abcdef`), name).toBe(400)
    expect(await get([host], '/v1/models?limit=3')).toBe(200)
    expect(running.log()).not.toContain('wk_0123456789abcdef')
  })

  test('on loopback no key is needed, and any is let through', async () => {
    expect((await post(running.url, CHAT, body)).status).toBe(200)
    expect((await post(running.url, CHAT, body, { authorization: 'Bearer whatever' })).status).toBe(200)
  })

  test('every answer says that it is data and not to be kept', async () => {
    for (const path of ['/healthz', '/nope', '/', '/v1/models']) {
      const { headers } = await fetch(`${running.url}${path}`)
      expect(headers.get('x-content-type-options'), path).toBe('nosniff')
      expect(headers.get('cache-control'), path).toBe('no-store')
      expect(headers.get('cross-origin-resource-policy'), path).toBe('same-origin')
    }
  })
})

describe('bound to more than loopback', () => {
  let running: Running
  beforeAll(async () => {
    running = await start({ host: '0.0.0.0', init: { cors: [APP] } })
  })
  afterAll(() => running.api.close())
  const get = (path: string, secret?: string): Promise<Response> =>
    fetch(`${running.url}${path}`, secret === undefined ? {} : { headers: { authorization: secret } })
  const guarded = [
    '/',
    '/v1/models',
    '/metrics',
    '/readyz',
    '/version',
    '/api/v1/state',
    '/api/v1/events',
    '/nope',
    '/dashboard/page.js',
  ]

  test('every route but /healthz needs a key, unknown routes too', async () => {
    expect((await get('/healthz')).status).toBe(200)
    for (const path of guarded) {
      const answer = await get(path)
      expect(answer.status, path).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    }
    expect((await post(running.url, CHAT, body)).status).toBe(401)
    expect((await post(running.url, '/api/v1/import', { source: 'x' })).status).toBe(401)
    expect(running.peer.requests.length + running.peer.calls.length).toBe(0)
  })

  test('wrong keys and wrong schemes are a 401, the right one opens', async () => {
    for (const wrong of [
      'Bearer',
      'Bearer ',
      'Bearer no',
      `Basic ${KEY}`,
      KEY,
      `Bearer ${KEY}x`,
      `Bearer ${'x'.repeat(5000)}`,
    ])
      expect((await get('/v1/models', wrong)).status, wrong).toBe(401)
    expect((await get('/v1/models', `Bearer ${KEY}`)).status).toBe(200)
    expect((await get('/nope', `Bearer ${KEY}`)).status).toBe(404)
    expect((await post(running.url, CHAT, body, { authorization: `Bearer ${KEY}` })).status).toBe(200)
  })

  test('a key does what its scopes say', async () => {
    const authorization = `Bearer ${READ_KEY}`
    expect((await get('/metrics', authorization)).status).toBe(200)
    expect((await get('/v1/models', authorization)).status).toBe(403)
    expect((await post(running.url, CHAT, body, { authorization })).status).toBe(403)
    expect((await post(running.url, '/api/v1/undeploy', { model: MODEL }, { authorization })).status).toBe(403)
    expect(running.peer.calls).toEqual([])
  })

  test('a preflight needs no key, since browsers send none; a name in Host must be allowed, an address need not', async () => {
    const { port } = running
    const headers = [`Host: 127.0.0.1:${port}`, `Origin: ${APP}`, 'Access-Control-Request-Method: POST']
    expect((await request(port, CHAT, headers, 'OPTIONS')).status).toBe(204)
    const bearer = `Authorization: Bearer ${KEY}`
    expect((await request(port, '/version', [`Host: 192.0.2.4:${port}`, bearer])).status).toBe(200)
    expect((await request(port, '/version', [`Host: evil.example:${port}`, bearer])).status).toBe(403)
  })

  test('a key that the store cannot look up is not an open door', async () => {
    const broken = await start({
      host: '0.0.0.0',
      needs: { keys: { verify: () => Promise.reject(new Error('disk gone')) } },
    })
    const answer = await fetch(`${broken.url}/v1/models`, { headers: { authorization: 'Bearer x' } })
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('disk gone')
    await broken.api.close()
  })
})
