/** Files and batches over the real server, as OpenAI's clients use them, before and after a restart. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BatchStore } from '../../src/peer/index.ts'
import { createAtRest, newIdentity } from '../../src/trust/index.ts'
import type { AtRest } from '../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../src/util/index.ts'
import { found } from '../integration/canaries.ts'
import { MODEL } from './fake-peer.ts'
import { failure, KEY, post, READ_KEY, request, start, until } from './support.ts'
import type { Running, StartOptions } from './support.ts'

const CHAT = '/v1/chat/completions'
const OTHER_KEY = 'wk_somebody-else'
const TWO_KEYS = {
  verify: async (secret: string) => {
    if (secret === KEY || secret === OTHER_KEY) return { scopes: ['generate'] }
    return secret === READ_KEY ? { scopes: ['read'] } : null
  },
}

let directory: string
let running: Running
let store: BatchStore
let wall: number

const clock = { ...systemClock(), wall: () => wall }
const atRest = createAtRest(newIdentity(), systemRandom())

async function begin(options: StartOptions = {}, seals: AtRest | null = atRest): Promise<void> {
  store = new BatchStore(clock, join(directory, 'batches.sqlite'), undefined, seals ?? undefined)
  running = await start({ ...options, clock, needs: { ...options.needs, batches: store } })
  await running.api.listenSocket(join(directory, 'socket'))
}

async function end(): Promise<void> {
  await running.api.close()
  store.close()
}

beforeEach(async () => {
  wall = 1_700_000_000_000
  directory = await mkdtemp(join(tmpdir(), 'weft-batches-'))
  await begin()
})
afterEach(async () => {
  await end()
  await rm(directory, { recursive: true, force: true })
})

/** Answers stand still until they are given up, but for the first few. */
function hold(but = 0): void {
  running.peer.hold = async (index, signal) => {
    if (index > 0 || running.peer.requests.length <= but) return
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  }
}

const line = (id: string, body: object = {}, url = CHAT): string =>
  JSON.stringify({
    custom_id: id,
    method: 'POST',
    url,
    body: { model: MODEL, messages: [{ role: 'user', content: `say ${id}` }], ...body },
  })

async function upload(text: string, headers: Record<string, string> = {}, purpose = 'batch'): Promise<Response> {
  const form = new FormData()
  form.set('purpose', purpose)
  form.set('file', new Blob([text]), 'requests.jsonl')
  return fetch(`${running.url}/v1/files`, { method: 'POST', body: form, headers })
}

interface BatchAnswer {
  readonly id: string
  readonly status: string
  readonly input_file_id: string
  readonly output_file_id: string | null
  readonly error_file_id: string | null
  readonly errors: { readonly data: readonly { readonly line: number; readonly message: string }[] } | null
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number }
}

const get = async <T>(path: string): Promise<T> => (await (await fetch(`${running.url}${path}`)).json()) as T
const look = (id: string): Promise<BatchAnswer> => get(`/v1/batches/${id}`)

async function submit(text: string, endpoint = CHAT, more: object = {}): Promise<BatchAnswer> {
  const { id } = (await (await upload(text)).json()) as { id: string }
  const body = { input_file_id: id, endpoint, completion_window: '24h', ...more }
  return (await (await post(running.url, '/v1/batches', body)).json()) as BatchAnswer
}

async function finished(id: string): Promise<BatchAnswer> {
  await until(async () => !['in_progress', 'cancelling'].includes((await look(id)).status))
  return look(id)
}

interface OutputLine {
  readonly custom_id: string
  readonly response: { readonly status_code: number; readonly body: Record<string, unknown> }
}

async function output(file: string | null): Promise<OutputLine[]> {
  const text = await (await fetch(`${running.url}/v1/files/${file}/content`)).text()
  return text
    .trimEnd()
    .split('\n')
    .map((each) => JSON.parse(each) as OutputLine)
}

it('every line has its answer, in the order of the input, in the batch lane', async () => {
  const ids = Array.from({ length: 9 }, (_, index) => `q${index}`)
  const begun = await submit(`${ids.map((id) => line(id)).join('\n')}\n`, CHAT, { metadata: { who: 'me' } })
  expect(begun).toMatchObject({ status: 'in_progress', output_file_id: null, request_counts: { total: 9 } })
  const batch = await finished(begun.id)
  expect(batch).toMatchObject({ status: 'completed', error_file_id: null, metadata: { who: 'me' } })
  expect(batch.request_counts).toEqual({ total: 9, completed: 9, failed: 0 })
  const lines = await output(batch.output_file_id)
  expect(lines.map(({ custom_id: id }) => id)).toEqual(ids)
  expect(lines.every(({ response }) => response.status_code === 200)).toBe(true)
  expect(lines[3]!.response.body).toMatchObject({ object: 'chat.completion', model: MODEL })
  expect(running.peer.requests.map(({ lane }) => lane)).toEqual(ids.map(() => 'batch'))
  expect(running.telemetry.counters()['batch_lines']).toBe(9)
  const { data } = await get<{ data: { id: string; purpose: string }[] }>('/v1/files')
  expect(data.map(({ purpose }) => purpose).sort()).toEqual(['batch', 'batch_output'])
})

it('what a line asks wrongly is its own failure, and stands in a file of its own', async () => {
  const text = [line('good'), line('bad', { temperature: 9 }), line('unknown', { model: 'nobody:1b' })].join('\n')
  const batch = await finished((await submit(text)).id)
  expect(batch.request_counts).toEqual({ total: 3, completed: 1, failed: 2 })
  expect((await output(batch.output_file_id)).map(({ custom_id: id }) => id)).toEqual(['good'])
  const failed = await output(batch.error_file_id)
  expect(failed.map(({ custom_id: id, response }) => [id, response.status_code])).toEqual([
    ['bad', 400],
    ['unknown', 404],
  ])
  expect(failed[0]!.response.body).toMatchObject({ weft: { code: 'WEFT-API-010' } })
})

it('a file that is not in order fails as a whole, each line named, and nothing is computed', async () => {
  const text = [
    '{',
    line('a'),
    line('a'),
    line('b', { stream: true }),
    line('c', {}, '/v1/completions'),
    '[]',
    '',
  ].join('\n')
  const batch = await submit(text)
  expect(batch).toMatchObject({ status: 'failed', request_counts: { total: 0 } })
  expect(batch.errors!.data.map((each) => each.line)).toEqual([1, 3, 4, 5, 6])
  expect((await submit('\n \r\n')).errors!.data).toMatchObject([{ code: 'empty_file' }])
  expect(running.peer.requests).toEqual([])
})

it('goes on after a restart, and computes nothing twice', async () => {
  hold(4)
  const text = Array.from({ length: 10 }, (_, index) => line(`q${index}`)).join('\n')
  const { id } = await submit(text)
  await until(() => running.peer.requests.length === 8)
  await until(async () => (await look(id)).request_counts.completed === 4)
  await end()
  await begin()
  const done = store.done(id).size
  const batch = await finished(id)
  expect(batch.request_counts).toEqual({ total: 10, completed: 10, failed: 0 })
  expect(running.peer.requests.length).toBe(10 - done)
  expect((await output(batch.output_file_id)).map((each) => each.custom_id)).toEqual(
    Array.from({ length: 10 }, (_, index) => `q${index}`),
  )
})

it('is cancelled with what it has', async () => {
  hold()
  const { id } = await submit(Array.from({ length: 6 }, (_, index) => line(`q${index}`)).join('\n'))
  await until(() => running.peer.requests.length === 4)
  const cancelled = (await (await post(running.url, `/v1/batches/${id}/cancel`, {})).json()) as BatchAnswer
  expect(cancelled.status).toBe('cancelled')
  expect(cancelled.request_counts.completed).toBe(0)
  await until(() => running.peer.aborted === 4)
  // As OpenAI's client for JavaScript asks: with no body, and no type of one.
  const bare = await fetch(`${running.url}/v1/batches/${id}/cancel`, { method: 'POST' })
  expect(bare.status).not.toBe(415)
  const foreign = { origin: 'http://evil.example' }
  expect((await fetch(`${running.url}/v1/batches/${id}/cancel`, { method: 'POST', headers: foreign })).status).toBe(403)
  for (const path of [`/v1/batches/${id}/cancel/x`, '/v1/batches', '/v1/chat/completions'])
    expect([404, 415]).toContain((await fetch(`${running.url}${path}`, { method: 'POST' })).status)
  const typed = await fetch(`${running.url}/v1/batches/${id}/cancel`, { method: 'POST', body: 'x' })
  expect(typed.status).toBe(415)
  const again = await post(running.url, `/v1/batches/${id}/cancel`, {})
  expect(again.status).toBe(409)
  expect((await failure(again)).weft.code).toBe('WEFT-API-045')
})

it('stays cancelled where the peer ended before it could say so', async () => {
  hold()
  const { id } = await submit([line('a'), line('b')].join('\n'))
  await until(() => running.peer.requests.length === 2)
  await end()
  store = new BatchStore(clock, join(directory, 'batches.sqlite'))
  store.change(id, { status: 'cancelling', cancelling: 1 })
  store.close()
  await begin()
  expect(await finished(id)).toMatchObject({
    status: 'cancelled',
    request_counts: { total: 2, completed: 0, failed: 0 },
  })
  expect(running.peer.requests).toEqual([])
})

it('is cancelled at once, also while all places are taken by another', async () => {
  hold()
  const first = await submit(Array.from({ length: 4 }, (_, index) => line(`q${index}`)).join('\n'))
  await until(() => running.peer.requests.length === 4)
  const second = await submit(line('waits'))
  const cancelled = await post(running.url, `/v1/batches/${second.id}/cancel`, {})
  expect(((await cancelled.json()) as BatchAnswer).status).toBe('cancelled')
  expect((await look(first.id)).status).toBe('in_progress')
  // The place that it had asked for goes on to others.
  await post(running.url, `/v1/batches/${first.id}/cancel`, {})
  running.peer.hold = null
  expect((await finished((await submit(line('next'))).id)).request_counts.completed).toBe(1)
})

it('expires after a day, with what it has', async () => {
  hold(4)
  const { id } = await submit(Array.from({ length: 8 }, (_, index) => line(`q${index}`)).join('\n'))
  await until(async () => (await look(id)).request_counts.completed === 4)
  await end()
  wall += 86_400_000 - 500
  await begin()
  hold()
  const batch = await finished(id)
  expect(batch).toMatchObject({ status: 'expired', request_counts: { total: 8, completed: 4, failed: 0 } })
  expect(await output(batch.output_file_id)).toHaveLength(4)
})

it('a key sees its own files and batches alone, and one that may only read none', async () => {
  await end()
  await begin({ host: '0.0.0.0', init: { hosts: ['127.0.0.1'] }, needs: { keys: TWO_KEYS } })
  const bearer = { authorization: `Bearer ${KEY}` }
  expect((await upload(line('x'))).status).toBe(401)
  expect((await upload(line('x'), { authorization: `Bearer ${READ_KEY}` })).status).toBe(403)
  const { id } = (await (await upload(line('x'), bearer)).json()) as { id: string }
  const body = { input_file_id: id, endpoint: CHAT, completion_window: '24h' }
  const batch = (await (await post(running.url, '/v1/batches', body, bearer)).json()) as BatchAnswer
  const statuses = async (headers: Record<string, string>): Promise<number[]> => {
    const paths = [`/v1/files/${id}`, `/v1/files/${id}/content`, `/v1/batches/${batch.id}`]
    const got = await Promise.all(paths.map((path) => fetch(`${running.url}${path}`, { headers })))
    return got.map(({ status }) => status)
  }
  const other = { authorization: `Bearer ${OTHER_KEY}` }
  expect(await statuses(bearer)).toEqual([200, 200, 200])
  expect(await statuses(other)).toEqual([404, 404, 404])
  expect((await post(running.url, '/v1/batches', body, other)).status).toBe(404)
  expect((await post(running.url, `/v1/batches/${batch.id}/cancel`, {}, other)).status).toBe(404)
  const removed = await fetch(`${running.url}/v1/files/${id}`, { method: 'DELETE', headers: other })
  expect(removed.status).toBe(404)
  for (const path of ['/v1/files', '/v1/batches'])
    expect(await (await fetch(`${running.url}${path}`, { headers: other })).json()).toMatchObject({ data: [] })
  expect(store.content('loopback', id)).toBeUndefined()
})

it('a batch whose key is revoked ends at its next line, also after a restart', async () => {
  let holds = true
  const keys = {
    verify: async () => ({ id: 'k1', scopes: ['generate'] }),
    holds: async (id: string) => id === 'k1' && holds,
  }
  const options = { host: '0.0.0.0', init: { hosts: ['127.0.0.1'] }, needs: { keys } } as const
  await end()
  await begin(options)
  hold(4)
  const bearer = { authorization: `Bearer ${KEY}` }
  const lines = Array.from({ length: 12 }, (_, index) => line(`${index}`)).join('\n')
  const { id: input } = (await (await upload(lines, bearer)).json()) as { id: string }
  const body = { input_file_id: input, endpoint: CHAT, completion_window: '24h' }
  const { id } = (await (await post(running.url, '/v1/batches', body, bearer)).json()) as BatchAnswer
  const look = async (): Promise<BatchAnswer> =>
    (await (await fetch(`${running.url}/v1/batches/${id}`, { headers: bearer })).json()) as BatchAnswer
  await until(async () => (await look()).request_counts.completed === 4)
  await end()
  holds = false
  await begin(options)
  await until(async () => (await look()).status === 'cancelled')
  expect((await look()).request_counts).toMatchObject({ total: 12, completed: 4 })
  expect(running.peer.requests).toHaveLength(0)
})

it('a large file is read with room for others in between: one that is deleted meanwhile begins nothing', async () => {
  const text = Array.from({ length: 20_000 }, (_, index) => line(`q${index}`, { user: 'x'.repeat(1_200) })).join('\n')
  const { id } = (await (await upload(text)).json()) as { id: string }
  const began = post(running.url, '/v1/batches', { input_file_id: id, endpoint: CHAT, completion_window: '24h' })
  const gone = await fetch(`${running.url}/v1/files/${id}`, { method: 'DELETE' })
  expect(gone.status).toBe(200)
  expect((await failure(await began)).weft.code).toBe('WEFT-API-043')
  expect(await get('/v1/batches')).toMatchObject({ data: [] })
})

it('files: their content, their end, and what is none', async () => {
  const text = `${line('x')}\n`
  const { id, bytes } = (await (await upload(text)).json()) as { id: string; bytes: number }
  expect(bytes).toBe(Buffer.byteLength(text))
  expect(await (await fetch(`${running.url}/v1/files/${id}/content`)).text()).toBe(text)
  expect((await upload(text, {}, 'fine-tune')).status).toBe(400)
  const batch = await finished((await submit(line('kept'))).id)
  const remove = (file: string | null): Promise<Response> =>
    fetch(`${running.url}/v1/files/${file}`, { method: 'DELETE' })
  expect(await (await remove(id)).json()).toMatchObject({ deleted: true })
  expect((await remove(id)).status).toBe(404)
  expect((await remove(batch.output_file_id)).status).toBe(200)
  expect(await look(batch.id)).toMatchObject({ output_file_id: null, request_counts: { completed: 1, failed: 0 } })
  const gone = await post(running.url, '/v1/batches', { input_file_id: id, endpoint: CHAT, completion_window: '24h' })
  expect((await failure(gone)).weft.code).toBe('WEFT-API-043')
})

it('the input of a batch that runs stays', async () => {
  hold()
  const { id, input_file_id: input } = await submit(line('x'))
  const refused = await fetch(`${running.url}/v1/files/${input}`, { method: 'DELETE' })
  expect((await failure(refused)).weft.code).toBe('WEFT-API-045')
  await post(running.url, `/v1/batches/${id}/cancel`, {})
})

it('a form from a page of another site is refused, and forms are taken on this route alone', async () => {
  const head = ['Host: 127.0.0.1:PORT', 'Content-Type: multipart/form-data; boundary=x', 'Content-Length: 0']
  const own = head.map((each) => each.replace('PORT', String(running.port)))
  const ask = async (path: string, ...more: string[]): Promise<number> =>
    (await request(running.port, path, [...own, ...more], 'POST')).status
  expect(await ask('/v1/files', 'Origin: https://evil.example')).toBe(403)
  expect(await ask('/v1/files', 'Origin: null')).toBe(403)
  expect(await ask('/v1/files', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors')).toBe(403)
  expect(await ask('/v1/files', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate')).toBe(415)
  expect(await ask('/v1/files')).toBe(400)
  expect(await ask('/v1/chat/completions')).toBe(415)
})

it('what is told to come again comes again', async () => {
  running.peer.failAt = 0
  const { id } = await submit(line('x'))
  await until(() => (running.telemetry.counters()['retries'] ?? 0) > 0)
  running.peer.failAt = null
  expect((await finished(id)).request_counts).toEqual({ total: 1, completed: 1, failed: 0 })
})

it('old batches and files go after a month', async () => {
  const batch = await finished((await submit(line('x'))).id)
  wall += 31 * 86_400_000
  store.sweep()
  expect((await fetch(`${running.url}/v1/batches/${batch.id}`)).status).toBe(404)
  expect(await get<{ data: unknown[] }>('/v1/files')).toMatchObject({ data: [] })
})

it('nothing of prompts and answers can be read on the disk without the identity of the peer', async () => {
  const prompt = 'the marbled newt of Ostrava'
  const ask = (): Promise<BatchAnswer> => submit(line('q', { messages: [{ role: 'user', content: prompt }] }))
  const batch = await finished((await ask()).id)
  const [answered] = await output(batch.output_file_id)
  const text = (answered!.response.body as { choices: [{ message: { content: string } }] }).choices[0].message.content
  const path = join(directory, 'batches.sqlite')
  expect(found([await readFile(path)], { prompt, answer: text })).toEqual([])
  const { data } = await get<{ data: { id: string; bytes: number }[] }>('/v1/files')
  const sizeOf = (id: string): number => store.content('loopback', id)?.length ?? -1
  expect(data.map(({ id }) => sizeOf(id))).toEqual(data.map(({ bytes }) => bytes))
  // with another identity it is named damaged, and nothing is made up
  await end()
  await begin({}, createAtRest(newIdentity(), systemRandom()))
  const refused = await fetch(`${running.url}/v1/files/${batch.input_file_id}/content`)
  expect([refused.status, (await failure(refused)).weft.code]).toEqual([500, 'WEFT-API-047'])
  // the control: written in clear, as it was before, all of it is found, and a store that seals reads it
  await end()
  await begin({}, null)
  const plain = await finished((await ask()).id)
  const hits = found([await readFile(path)], { prompt, answer: text })
  expect(hits).toEqual(expect.arrayContaining(['answer: plain', 'prompt: plain']))
  await end()
  await begin()
  expect((await output(plain.output_file_id))[0]!.response.status_code).toBe(200)
})

it('room on the disk is bounded, and so are batches that wait', async () => {
  await end()
  store = new BatchStore(clock, join(directory, 'batches.sqlite'), { bytes: 400, unfinished: 1 })
  running = await start({ clock, needs: { batches: store } })
  expect((await upload('x'.repeat(401))).status).toBe(429)
  const { id } = (await (await upload(line('x'))).json()) as { id: string }
  const body = { input_file_id: id, endpoint: CHAT, completion_window: '24h' }
  expect((await post(running.url, '/v1/batches', body)).status).toBe(200)
  const refused = await post(running.url, '/v1/batches', body)
  expect((await failure(refused)).weft.code).toBe('WEFT-API-041')
})

const canMount = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(!canMount)('a disk that is full (skipped: needs root for a small tmpfs)', () => {
  it('is a coded refusal, and nothing is half there', async () => {
    await end()
    const small = join(directory, 'small')
    await mkdir(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', small])
    try {
      store = new BatchStore(clock, join(small, 'batches.sqlite'))
      running = await start({ clock, needs: { batches: store } })
      const refused = await upload('x'.repeat(400_000))
      expect(refused.status).toBe(507)
      expect((await failure(refused)).weft.code).toBe('WEFT-API-046')
      expect(await get<{ data: unknown[] }>('/v1/files')).toMatchObject({ data: [] })
      expect((await upload(line('fits'))).status).toBe(200)
    } finally {
      await end()
      execFileSync('umount', [small])
      await begin()
    }
  })
})
