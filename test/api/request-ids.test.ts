/** The number of an answer, as OpenAI's own client shows it. */
import OpenAI from 'openai'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MODEL } from './fake-peer.ts'
import { start } from './support.ts'
import type { Running } from './support.ts'

const messages = [{ role: 'user' as const, content: 'hi' }]
let running: Running
let client: OpenAI
beforeEach(async () => {
  running = await start()
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'unused', maxRetries: 0 })
})
afterEach(() => running.api.close())

test('each answer has a number of its own, also a stream, a refusal and a stray', async () => {
  const answer = await client.chat.completions.create({ model: MODEL, messages })
  const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true }).withResponse()
  const refused: unknown = await client.chat.completions.create({ model: 'nope', messages }).catch((error) => error)
  const stray = await fetch(new URL('/v1/nothing', running.url))
  const foreign = await fetch(new URL('/v1/models', running.url), { headers: { origin: 'https://evil.example' } })
  expect([refused, stray.status, foreign.status]).toEqual([expect.anything(), 404, 403])
  const ids = [
    answer._request_id,
    stream.request_id,
    (refused as { requestID?: string }).requestID,
    stray.headers.get('x-request-id'),
    foreign.headers.get('x-request-id'),
  ]
  expect(ids).toEqual(ids.map(() => expect.stringMatching(/^req_[0-9a-f]{24}$/)))
  expect(new Set(ids).size).toBe(ids.length)
})
