/** A stream whose model must be loaded first: signs of life that clients pass over, and nothing lost behind them. */
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeError, MODEL, PEER_LOST, WORDS } from './fake-peer.ts'
import { manualClock, post, raw, start, until } from './support.ts'
import type { ManualClock, Running } from './support.ts'

const ROUTE = '12D3KooWFake[0:2],12D3KooWOther[2:4]'
const TEXT = WORDS.slice(0, 6).join('')
const messages = [{ role: 'user' as const, content: 'hi' }]
const STEP = 2_000

let clock: ManualClock
let running: Running
/** Ends the loading; an error makes it fail. */
let loaded: PromiseWithResolvers<void>

beforeEach(async () => {
  clock = manualClock()
  // Nothing is kept behind the end, so that no timer stays.
  running = await start({ clock, init: { limits: { resumeMs: 0 } } })
  loaded = Promise.withResolvers<void>()
  running.peer.loading = () => loaded.promise
})
afterEach(async () => {
  loaded.resolve()
  await running.api.close()
})

/** The body so far, and how the answer ends. */
function streamed(body: object): {
  text: () => string
  answer: Promise<IncomingMessage>
  done: Promise<IncomingMessage>
} {
  let text = ''
  const begun = Promise.withResolvers<IncomingMessage>()
  const done = Promise.withResolvers<IncomingMessage>()
  const ask = request(`${running.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  ask.on('response', (response) => {
    begun.resolve(response)
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    response.on('end', () => done.resolve(response))
  })
  ask.end(JSON.stringify({ model: MODEL, messages, stream: true, ...body }))
  return { text: () => text, answer: begun.promise, done: done.promise }
}

const asked = (): Promise<void> => until(() => running.peer.requests.length > 0)
const comments = (text: string): string[] => text.split('\n').filter((line) => line.startsWith(':'))

describe('a stream that waits for its model', () => {
  test('gets a comment every two seconds, the whole answer behind them, and the route as a trailer', async () => {
    const stream = streamed({})
    await asked()
    for (let count = 1; count <= 3; count++) {
      clock.advance(STEP)
      await until(() => comments(stream.text()).length === count)
    }
    expect(comments(stream.text())).toEqual(Array(3).fill(': loading the model'))
    const head = await stream.answer
    expect(head.statusCode).toBe(200)
    expect(head.headers).toMatchObject({ 'content-type': 'text/event-stream; charset=utf-8', trailer: 'x-weft-route' })
    loaded.resolve()
    const end = await stream.done
    expect(end.trailers['x-weft-route']).toBe(ROUTE)
    expect(stream.text()).toMatch(/\nid: [\w-]{22}:\d+\ndata: \[DONE\]\n\n$/)
    expect(stream.text()).toContain('"role":"assistant"')
    await until(() => clock.pending() === 0)
  })

  test('also between the route and the first token, and never between tokens', async () => {
    const tokens = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    running.peer.hold = (index) => tokens[index]?.promise ?? Promise.resolve()
    loaded.resolve()
    const stream = streamed({})
    await until(() => stream.text().includes('"role":"assistant"'))
    expect((await stream.answer).headers['x-weft-route']).toBe(ROUTE)
    clock.advance(STEP)
    await until(() => comments(stream.text()).length === 1)
    expect(comments(stream.text())).toEqual([': working'])
    tokens[0]?.resolve()
    await until(() => stream.text().includes('Hello'))
    clock.advance(STEP)
    await new Promise((resolve) => setImmediate(resolve))
    tokens[1]?.resolve()
    await stream.done
    expect(comments(stream.text())).toEqual([': working'])
  })

  test("is read by OpenAI's own client as if there were no comments", async () => {
    const client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'anything', maxRetries: 0 })
    const chat = client.chat.completions.create({ model: MODEL, messages, stream: true })
    const text = client.completions.create({ model: MODEL, prompt: 'hi', stream: true })
    await until(() => running.peer.requests.length === 2)
    clock.advance(STEP)
    // The head has come with the first comment: the client holds a stream before the model is there.
    const [chunks, texts] = [await chat, await text]
    clock.advance(STEP)
    loaded.resolve()
    const pieces = await Array.fromAsync(chunks)
    expect(pieces.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(TEXT)
    expect(pieces[0]?.system_fingerprint).toBe('fp_abcdef012345')
    expect((await Array.fromAsync(texts)).map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(TEXT)
  })

  test('what fails fast has a status; what fails after the first comment is the last event of the stream', async () => {
    const failed = new FakeError(PEER_LOST, 'it cannot be loaded')
    const early = post(running.url, '/v1/chat/completions', { model: MODEL, messages, stream: true })
    await asked()
    clock.advance(STEP - 1)
    loaded.reject(failed)
    expect((await early).status).toBe(503)

    loaded = Promise.withResolvers<void>()
    const late = streamed({})
    await until(() => running.peer.requests.length === 2)
    clock.advance(STEP)
    await until(() => comments(late.text()).length === 1)
    loaded.reject(failed)
    await late.done
    expect(late.text().trimEnd().split('\n\n').at(-1)).toMatch(/^data: \{"error":\{"message":"it cannot be loaded"/)
    expect(late.text()).not.toContain('[DONE]')
    await until(() => clock.pending() === 0)
  })

  test('a client that leaves while the model is loaded ends the work, and no timer stays', async () => {
    const stopped = Promise.withResolvers<void>()
    running.peer.loading = (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          stopped.resolve()
          reject(signal.reason as Error)
        })
      })
    const leave = new AbortController()
    const body = JSON.stringify({ model: MODEL, messages, stream: true })
    const headers = { 'content-type': 'application/json' }
    const asking = fetch(`${running.url}/v1/chat/completions`, { method: 'POST', headers, body, signal: leave.signal })
    await asked()
    clock.advance(STEP)
    expect((await asking).status).toBe(200)
    leave.abort()
    await stopped.promise
    await until(() => clock.pending() === 0)
  })

  test('a client of HTTP/1.0 gets comments without a trailer, and a whole answer has none', async () => {
    const body = JSON.stringify({ model: MODEL, messages, stream: true })
    const head = [
      'POST /v1/chat/completions HTTP/1.0',
      `Host: 127.0.0.1:${running.port}`,
      'Content-Type: application/json',
    ]
    const old = raw(running.port, [...head, `Content-Length: ${body.length}`, '', body].join('\r\n'))
    const whole = post(running.url, '/v1/chat/completions', { model: MODEL, messages })
    await until(() => running.peer.requests.length === 2)
    clock.advance(STEP)
    await new Promise((resolve) => setImmediate(resolve))
    loaded.resolve()
    const answer = await old
    expect(answer.status).toBe(200)
    expect(answer.head.toLowerCase()).not.toContain('trailer')
    expect(comments(answer.body)).toEqual([': loading the model'])
    expect(answer.body).toContain('data: [DONE]')
    expect((await whole).headers.get('x-weft-route')).toBe(ROUTE)
    expect(await (await whole).json()).toMatchObject({ choices: [{ message: { content: TEXT } }] })
  })
})

describe('a stream that loses a stage', () => {
  test('says so in comments, has the whole text, and names the last route at its end', async () => {
    running.peer.losesStage = true
    loaded.resolve()
    const stream = streamed({})
    await stream.done
    expect(comments(stream.text())).toEqual([
      ': waiting for a stage: WEFT-INF-503',
      ': a stage was replaced, attempt 1',
    ])
    const chunks = stream
      .text()
      .split('\n')
      .filter((line) => line.startsWith('data: {'))
      .map(
        (line) => JSON.parse(line.slice('data: '.length)) as OpenAI.ChatCompletionChunk & { weft?: { route: unknown } },
      )
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(TEXT)
    expect(chunks.at(-1)?.weft?.route).toMatchObject([{ from: 0 }, { peer: '12D3KooWThird', from: 2 }])
  })

  test('says nothing where nobody streams, and the route is the last all the same', async () => {
    running.peer.losesStage = true
    loaded.resolve()
    const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({ weft: { route: [{}, { peer: '12D3KooWThird' }] } })
  })
})
