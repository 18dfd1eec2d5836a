/** Answers that outlive the connection they were asked over: nothing lost, nothing twice, for nobody else. */
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeError, MODEL, PEER_LOST } from './fake-peer.ts'
import { EVENTS, eventsOf, holdAt, numbersOf, readPart, TEXT, textOf, upTo } from './resume-support.ts'
import type { Part } from './resume-support.ts'
import { failure, KEY, manualClock, post, request, start, until } from './support.ts'
import type { ManualClock, Running } from './support.ts'

const CHAT = '/v1/chat/completions'
const chat = { model: MODEL, messages: [{ role: 'user' as const, content: 'hi' }], stream: true as const }
const COUNTERS = ['streams_orphaned', 'streams_resumed', 'events_replayed']

let clock: ManualClock
let running: Running
beforeEach(async () => {
  clock = manualClock()
  running = await start({ clock })
})
afterEach(() => running.api.close())

const counters = (): (number | undefined)[] => COUNTERS.map((name) => running.telemetry.counters()[name])
const again = (last: string, count?: number, more: Record<string, string> = {}): Promise<Part> =>
  readPart(`${running.url}${CHAT}`, { body: {}, headers: { 'last-event-id': last, ...more } }, count)
const gone = (count = 1): Promise<void> => until(() => running.telemetry.counters()['http_clients_gone'] === count)

/** What an attempt to come back is refused with. */
async function refused(last: string, path = CHAT): Promise<string> {
  const answer = await post(running.url, path, {}, { 'last-event-id': last })
  return `${answer.status} ${(await failure(answer)).weft.code}`
}

/** A client that is cut off after three events, while the answer stands before its fourth token. */
async function cutOff(body: object = {}): Promise<{ part: Part; release: () => void }> {
  const release = holdAt(running.peer, 3)
  const part = await readPart(`${running.url}${CHAT}`, { body: { ...chat, ...body } }, 3)
  await gone()
  return { part, release }
}

describe('the ids of events', () => {
  test('are those of the request with a number each, and another request has other letters', async () => {
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(part.request).toMatch(/^[\w-]{22}$/)
    expect(numbersOf(part)).toEqual(upTo(1, EVENTS))
    expect(textOf(part.events)).toBe(TEXT)
    expect((await readPart(`${running.url}${CHAT}`, { body: chat })).request).not.toBe(part.request)
    const whole = await post(running.url, CHAT, { ...chat, stream: false })
    expect(whole.headers.has('x-weft-request')).toBe(false)
  })

  test("do not disturb OpenAI's own client", async () => {
    const client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'anything', maxRetries: 0 })
    const chunks = await Array.fromAsync(await client.chat.completions.create(chat))
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(TEXT)
    const texts = await client.completions.create({ model: MODEL, prompt: 'hi', stream: true })
    expect((await Array.fromAsync(texts)).map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(TEXT)
  })
})

describe('a client that was cut off', () => {
  test('gets the rest with Last-Event-ID; meanwhile the answer stands still', async () => {
    const { part, release } = await cutOff()
    release()
    await new Promise((resolve) => setImmediate(resolve))
    // The token that was on its way, and no other, is computed for nobody.
    expect(running.peer.produced).toBeLessThanOrEqual(4)
    expect([running.peer.aborted, running.peer.ended]).toEqual([0, 0])
    const rest = await again(part.last)
    expect(rest.request).toBe(part.request)
    expect(rest.headers.get('x-weft-route')).toBe('12D3KooWFake[0:2],12D3KooWOther[2:4]')
    expect([...numbersOf(part), ...numbersOf(rest)]).toEqual(upTo(1, EVENTS))
    expect(textOf([...part.events, ...rest.events])).toBe(TEXT)
    expect(running.peer.requests.length).toBe(1)
    expect(counters()).toEqual([1, 1, expect.any(Number)])
    expect(running.telemetry.counters()['events_replayed']).toBeGreaterThan(0)
  })

  test('may be cut off again and again, and may lose events that were sent', async () => {
    const first = await cutOff()
    const second = await again(`${first.part.request}:1`, 2)
    await gone(2)
    const third = await again(second.last, 1)
    await gone(3)
    first.release()
    const rest = await again(third.last)
    expect(numbersOf(second)).toEqual([2, 3])
    expect([...numbersOf(third), ...numbersOf(rest)]).toEqual(upTo(4, EVENTS))
    expect(textOf([...first.part.events, ...third.events, ...rest.events])).toBe(TEXT)
  })

  test('may come back by GET, as EventSource does, also without an id; after the end there is no more', async () => {
    const { part, release } = await cutOff()
    release()
    const path = `/v1/streams/${part.request}`
    const rest = await readPart(`${running.url}${path}`, { headers: { 'last-event-id': part.last } })
    expect(textOf([...part.events, ...rest.events])).toBe(TEXT)
    expect(numbersOf(await readPart(`${running.url}${path}`, {}))).toEqual(upTo(1, EVENTS))
    for (const init of [{}, { method: 'POST', body: '{}' }]) {
      const headers = { 'content-type': 'application/json', 'last-event-id': rest.last }
      const url = `${running.url}${'body' in init ? CHAT : path}`
      expect((await fetch(url, { ...init, headers })).status).toBe(204)
    }
    expect((await fetch(`${running.url}${path}`, { method: 'HEAD' })).status).toBe(405)
  })

  test('an answer as lines of JSON has the numbers in them, and the request in its head', async () => {
    const body = { model: MODEL, input: { kind: 'text', text: 'x' } }
    const whole = await post(running.url, '/api/v1/generate', body)
    const lines = (text: string): Record<string, unknown>[] =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    const all = lines(await whole.text())
    expect(all.map((line) => line['n'])).toEqual([1, undefined, ...upTo(2, 8)])
    const last = `${whole.headers.get('x-weft-request')}:5`
    const rest = await post(running.url, '/api/v1/generate', {}, { 'last-event-id': last })
    expect(lines(await rest.text())).toEqual(all.slice(-3))
    expect(await refused(last)).toBe('404 WEFT-API-020')
  })

  test('a second reader takes over, and the first ends', async () => {
    const release = holdAt(running.peer, 3)
    const first = await post(running.url, CHAT, chat)
    await until(() => running.peer.produced === 3)
    const last = `${first.headers.get('x-weft-request')}:2`
    const second = readPart(`${running.url}${CHAT}`, { body: {}, headers: { 'last-event-id': last } })
    const before = eventsOf(await first.text())
    expect(before.length).toBeLessThanOrEqual(4)
    expect(running.peer.aborted).toBe(0)
    release()
    const rest = await second
    expect(numbersOf(rest)).toEqual(upTo(3, EVENTS))
    expect(textOf([...before.slice(0, 2), ...rest.events])).toBe(TEXT)
  })
})

test('a connection that takes nothing more does not keep its client from another', async () => {
  await running.api.close()
  running = await start({ clock, init: { limits: { keptBytes: 64 << 20 } } })
  Object.assign(running.peer, { tokens: 400, word: 'x'.repeat(20_000) })
  const stuck = await post(running.url, CHAT, chat)
  let before = -1
  await until(async () => {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const still = running.peer.produced > 0 && running.peer.produced === before
    before = running.peer.produced
    return still
  })
  expect(running.peer.produced).toBeLessThan(400)
  const all = await again(`${stuck.headers.get('x-weft-request')}:0`)
  expect(textOf(all.events).length).toBe(400 * 20_000)
  await stuck.body?.cancel()
  expect(running.peer.requests.length).toBe(1)
})

describe('an answer waits', () => {
  test('five seconds; then its work ends, and its client is told that it is late', async () => {
    const { part } = await cutOff()
    clock.advance(4_999)
    await new Promise((resolve) => setImmediate(resolve))
    expect(running.peer.aborted).toBe(0)
    clock.advance(1)
    await until(() => running.peer.ended === 1)
    expect(running.peer.aborted).toBe(1)
    expect(await refused(part.last)).toBe('410 WEFT-API-021')
    expect(clock.pending()).toBe(0)
  })

  test('as long as the request says, at most ten minutes; with 0 not at all', async () => {
    const { part, release } = await cutOff({ weft: { resume_s: 600 } })
    clock.advance(599_000)
    release()
    expect(textOf([...part.events, ...(await again(part.last)).events])).toBe(TEXT)
    await cutOffAtOnce()
    for (const wrong of [-1, 601, 1.5, '5'])
      expect((await post(running.url, CHAT, { ...chat, weft: { resume_s: wrong } })).status).toBe(400)
  })

  async function cutOffAtOnce(): Promise<void> {
    holdAt(running.peer, 3)
    const part = await readPart(`${running.url}${CHAT}`, { body: { ...chat, weft: { resume_s: 0 } } }, 3)
    await until(() => running.peer.aborted === 1 && running.peer.ended === 2)
    expect(await refused(part.last)).toBe('410 WEFT-API-021')
    expect(counters()[0]).toBe(1)
  }

  test('not at all for a client that left before it had the head, and so no id', async () => {
    running.peer.loading = (signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const leave = new AbortController()
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(chat), signal: leave.signal }
    const asking = fetch(`${running.url}${CHAT}`, init)
    await until(() => running.peer.requests.length === 1)
    leave.abort()
    await expect(asking).rejects.toThrow()
    await until(() => running.peer.ended === 1)
    expect(counters()).toEqual([0, 0, 0])
  })

  test('half a minute after its end, for a client that lost the last of it', async () => {
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    clock.advance(29_999)
    expect(numbersOf(await again(`${part.request}:${EVENTS - 2}`))).toEqual([EVENTS - 1, EVENTS])
    clock.advance(1)
    expect(await refused(part.last)).toBe('410 WEFT-API-021')
    expect(clock.pending()).toBe(0)
  })

  test('but not for its own failure, which a client that comes back hears again', async () => {
    Object.assign(running.peer, { failAt: 3, failure: new FakeError(PEER_LOST, 'lost') })
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(part.events.at(-1)).toMatchObject({ id: null, data: expect.stringContaining('WEFT-INF-503') })
    const rest = await again(`${part.request}:2`)
    expect(rest.events).toEqual(part.events.slice(2))
    expect(await refused(part.last)).toBe('503 WEFT-INF-503')
  })

  test('together with so many others, and none beyond', async () => {
    await running.api.close()
    running = await start({ clock, init: { limits: { waitingStreams: 1 } } })
    const { part, release } = await cutOff()
    const second = await readPart(`${running.url}${CHAT}`, { body: chat }, 3)
    await until(() => running.peer.ended === 1)
    expect(await refused(second.last)).toBe('410 WEFT-API-021')
    release()
    expect(textOf([...part.events, ...(await again(part.last)).events])).toBe(TEXT)
  })

  test('no longer when the API closes', async () => {
    await cutOff({ weft: { resume_s: 600 } })
    await running.api.close()
    await until(() => running.peer.ended === 1)
    expect(clock.pending()).toBe(0)
  })
})

describe('what is refused', () => {
  test('ids that are none, unknown, of another route, ahead, or of another answer than the path', async () => {
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    const numbers = ['', ':', ':-1', ':01', ':1e3', ':1:1', ':9999999999']
    for (const last of ['x', `../${part.request}:1`, ...numbers.map((number) => `${part.request}${number}`)])
      expect(await refused(last), last).toBe('400 WEFT-API-022')
    expect(await refused(`${'A'.repeat(22)}:1`)).toBe('404 WEFT-API-020')
    expect(await refused(part.last, '/v1/completions')).toBe('404 WEFT-API-020')
    expect(await refused(`${part.request}:${EVENTS + 1}`)).toBe('409 WEFT-API-023')
    const get = (id: string, last: string): Promise<Response> =>
      fetch(`${running.url}/v1/streams/${id}`, { headers: { 'last-event-id': last } })
    expect((await get('A'.repeat(22), part.last)).status).toBe(400)
    for (const id of ['x', '..%2f..', 'A'.repeat(500)]) expect((await get(id, part.last)).status).toBe(404)
    expect(running.peer.requests.length).toBe(1)
  })

  test('events of a long answer that are no longer kept; the newest are', async () => {
    await running.api.close()
    running = await start({ clock, init: { limits: { keptEvents: 4 } } })
    const part = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(await refused(`${part.request}:${EVENTS - 5}`)).toBe('410 WEFT-API-024')
    expect(numbersOf(await again(`${part.request}:${EVENTS - 4}`))).toEqual(upTo(EVENTS - 3, EVENTS))
  })

  test('bytes of one answer, and of all together, are bounded', async () => {
    await running.api.close()
    running = await start({ clock, init: { limits: { keptBytes: 100_000, keptBytesInAll: 150_000 } } })
    Object.assign(running.peer, { tokens: 200, word: 'x'.repeat(1_000) })
    const keptOf = async ({ request: id }: Part): Promise<number> => {
      const answers = await Promise.all([20, 110, 150, 194].map((after) => refusedOrRead(`${id}:${after}`)))
      return answers.filter((status) => status === 200).length
    }
    const first = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(await keptOf(first)).toBe(2)
    // Over the limit of all: the new one keeps a sixteenth, and it is the old one that goes.
    const second = await readPart(`${running.url}${CHAT}`, { body: chat })
    expect(await keptOf(second)).toBeGreaterThan(0)
  })

  async function refusedOrRead(last: string): Promise<number> {
    const answer = await post(running.url, CHAT, {}, { 'last-event-id': last })
    await answer.text()
    return answer.status
  }

  test('every key but the one that asked: an id alone is not enough, and says nothing', async () => {
    await running.api.close()
    const keys = { verify: async (secret: string) => (secret.startsWith('wk_') ? { scopes: ['generate'] } : null) }
    running = await start({ clock, host: '0.0.0.0', needs: { keys } })
    const mine = { authorization: `Bearer ${KEY}` }
    const release = holdAt(running.peer, 3)
    const part = await readPart(`${running.url}${CHAT}`, { body: chat, headers: mine }, 3)
    await gone()
    const path = `/v1/streams/${part.request}`
    const theirs = { authorization: 'Bearer wk_another' }
    for (const headers of [theirs, { ...theirs, 'last-event-id': part.last }])
      expect((await fetch(`${running.url}${path}`, { headers })).status).toBe(404)
    expect((await post(running.url, CHAT, {}, { ...theirs, 'last-event-id': part.last })).status).toBe(404)
    const none = await request(running.port, path, [`Host: 127.0.0.1:${running.port}`, `Last-Event-ID: ${part.last}`])
    expect(none.status).toBe(401)
    expect(running.peer.aborted).toBe(0)
    release()
    expect(textOf([...part.events, ...(await again(part.last, Infinity, mine)).events])).toBe(TEXT)
  })
})
