import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FakeError, MODEL, PEER_LOST, WORDS } from './fake-peer.ts'
import { failure, post, start, until } from './support.ts'
import type { Running } from './support.ts'

const ROUTE = '12D3KooWFake[0:2],12D3KooWOther[2:4]'
const TEXT = WORDS.slice(0, 6).join('')
const messages = [{ role: 'user' as const, content: 'hi' }]

let running: Running
let client: OpenAI

beforeAll(async () => {
  running = await start()
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'anything', maxRetries: 0 })
})
afterAll(() => running.api.close())
beforeEach(() => {
  Object.assign(running.peer, { tokens: 6, word: null, hold: null, failAt: null })
  running.peer.failure = new FakeError(PEER_LOST, 'peer lost in the middle')
  running.peer.requests.length = 0
})

const lastRequest = (): Running['peer']['requests'][number] => {
  const found = running.peer.requests.at(-1)
  if (found === undefined) throw new Error('no request reached the peer')
  return found
}

describe("OpenAI's own client: models", () => {
  test('lists and retrieves models, with an integer time and an owner', async () => {
    const { data } = await client.models.list()
    expect(data).toMatchObject([{ id: MODEL, object: 'model', owned_by: 'weft' }])
    expect(Number.isInteger(data[0]?.created)).toBe(true)
    expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL })
  })

  test('an unknown model is a 404 with the code that clients look for', async () => {
    const ask = client.models.retrieve('no/such model')
    await expect(ask).rejects.toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
    const chat = client.chat.completions.create({ model: 'nope', messages })
    await expect(chat).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
    const stream = client.chat.completions.create({ model: 'nope', messages, stream: true })
    await expect(stream).rejects.toMatchObject({ status: 404 })
  })
})

describe("OpenAI's own client: chat", () => {
  test('answers whole, with usage, fingerprint, route and timings', async () => {
    const { data, response } = await client.chat.completions.create({ model: MODEL, messages }).withResponse()
    expect(data).toMatchObject({
      object: 'chat.completion',
      model: MODEL,
      system_fingerprint: 'fp_abcdef012345',
      choices: [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop', logprobs: null }],
      usage: { prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 },
      weft: {
        route: [
          { from: 0, to: 2 },
          { from: 2, to: 4 },
        ],
        timings: { decode_tokens: 6 },
      },
    })
    expect(data.id).toMatch(/^chatcmpl-[0-9a-f]{24}$/)
    expect(response.headers.get('x-weft-route')).toBe(ROUTE)
  })

  test('streams: the role first, then text, then the reason; the pieces make the same text; nothing after DONE', async () => {
    const { data, response } = await client.chat.completions
      .create({ model: MODEL, messages, stream: true })
      .withResponse()
    expect(response.headers.get('x-weft-route')).toBe(ROUTE)
    const chunks = await Array.fromAsync(data)
    expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant', content: '' })
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(TEXT)
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(chunks.slice(0, -1).every((chunk) => chunk.choices[0]?.finish_reason === null)).toBe(true)
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1)
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true)
    const text = await (
      await post(running.url, '/v1/chat/completions', { model: MODEL, messages, stream: true })
    ).text()
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  })

  test('a stream is counted when it ends, like any answer', async () => {
    const before = running.telemetry.counters()['http_requests'] ?? 0
    await (await post(running.url, '/v1/chat/completions', { model: MODEL, messages, stream: true })).text()
    await until(() => running.telemetry.counters()['http_requests'] === before + 1)
  })

  test('include_usage adds one last chunk without choices, and null before', async () => {
    const stream_options = { include_usage: true }
    const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true, stream_options })
    const chunks = await Array.fromAsync(stream)
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 6 } })
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true)
    const refused = client.chat.completions.create({ model: MODEL, messages, stream_options } as never)
    await expect(refused).rejects.toMatchObject({ status: 400, param: 'stream_options' })
  })

  test('the runner of the client gathers a stream into the same answer', async () => {
    const final = await client.chat.completions.stream({ model: MODEL, messages }).finalChatCompletion()
    expect(final.choices[0]?.message.content).toBe(TEXT)
  })

  test('logprobs: token, bytes and alternatives for each token; half a character has no bytes', async () => {
    running.peer.tokens = 9
    const ask = { model: MODEL, messages, logprobs: true, top_logprobs: 3 } as const
    const whole = (await client.chat.completions.create(ask)).choices[0]?.logprobs?.content ?? []
    expect(whole.length).toBe(9)
    expect(whole[3]).toMatchObject({ token: ' wörld', logprob: -0.25, bytes: [...Buffer.from(' wörld')] })
    expect(whole[3]?.top_logprobs.map((one) => one.token)).toEqual(WORDS.slice(3, 6))
    expect(whole[7]).toMatchObject({ bytes: null, logprob: -9999 })
    const chunks = await Array.fromAsync(await client.chat.completions.create({ ...ask, stream: true }))
    const streamed = chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? [])
    expect(streamed).toEqual(whole)
    await client.chat.completions.create({ model: MODEL, messages, logprobs: true })
    expect(lastRequest().logprobs).toBe(0)
  })

  test('n choices have their own index and seed; the prompt is counted once', async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages, n: 3, seed: 40 })
    expect(answer.choices.map((choice) => choice.index)).toEqual([0, 1, 2])
    expect(running.peer.requests.map((request) => request.sampling.seed)).toEqual([40, 41, 42])
    // a prompt is counted once, and what was there of it before as well
    expect(answer.usage).toMatchObject({
      prompt_tokens: 3,
      completion_tokens: 18,
      prompt_tokens_details: { cached_tokens: 2 },
    })
    const chunks = await Array.fromAsync(
      await client.chat.completions.create({ model: MODEL, messages, n: 2, stream: true }),
    )
    const ends = chunks.filter((chunk) => chunk.choices[0]?.finish_reason !== null)
    expect(ends.map((chunk) => chunk.choices[0]?.index)).toEqual([0, 1])
  })

  test('seeds of 64 bits and negative ones are taken, as OpenAI does: each is one of ours', async () => {
    const ask = async (seed: string): Promise<number> => {
      const body = `{"model":"${MODEL}","messages":[{"role":"user","content":"hi"}],"seed":${seed}}`
      return (await post(running.url, '/v1/chat/completions', body)).status
    }
    for (const seed of ['-1', '-9223372036854775808', '9223372036854775807', '9007199254740991', '0'])
      expect(await ask(seed), seed).toBe(200)
    const seeds = running.peer.requests.map((request) => request.sampling.seed)
    expect(seeds).toEqual([Number.MAX_SAFE_INTEGER, 0, 0, Number.MAX_SAFE_INTEGER, 0])
    for (const seed of ['1e19', '-1e19', '1.5', '"1"']) expect(await ask(seed), seed).toBe(400)
  })

  test("every option reaches the peer, and what is not said has OpenAI's default", async () => {
    const weft = { placement: 'local', deadline_ms: 5000, speculate: 'draft', draft: 'small' }
    const all = { temperature: 0.5, top_p: 0.9, presence_penalty: 1, frequency_penalty: -1, seed: 7, stop: ['a', 'b'] }
    const ours = { top_k: 40, min_p: 0.05, repetition_penalty: 1.1, weft, user: 'ignored', metadata: {}, tools: [] }
    const body = { model: MODEL, messages, ...all, ...ours, max_tokens: 9, max_completion_tokens: 4 }
    expect((await post(running.url, '/v1/chat/completions', body)).status).toBe(200)
    expect(lastRequest()).toEqual({
      model: MODEL,
      input: { kind: 'chat', messages },
      sampling: {
        temperature: 0.5,
        topK: 40,
        topP: 0.9,
        minP: 0.05,
        repetitionPenalty: 1.1,
        presencePenalty: 1,
        frequencyPenalty: -1,
        seed: 7,
      },
      maxTokens: 4,
      stop: ['a', 'b'],
      placement: 'local',
      speculate: 'draft',
      draft: 'small',
      deadline: 5000,
    })
    await post(running.url, '/v1/chat/completions', { model: MODEL, messages, stop: 'x', temperature: null, top_p: 0 })
    expect(lastRequest()).toMatchObject({ stop: ['x'], sampling: { temperature: 1, topP: 1e-6 } })
    expect(lastRequest()).not.toHaveProperty('maxTokens')
  })

  test('content may be text parts, developer is system, an assistant may be empty, lone surrogates are replaced', async () => {
    const given =
      '[{"role":"developer","content":"be"},{"role":"assistant","content":null},' +
      '{"role":"user","content":[{"type":"text","text":"a\\ud800"},{"type":"text","text":"<|im_start|>"}]}]'
    const answer = await post(running.url, '/v1/chat/completions', `{"model":"${MODEL}","messages":${given}}`)
    expect(answer.status).toBe(200)
    expect(lastRequest().input).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: 'be' },
        { role: 'assistant', content: '' },
        { role: 'user', content: 'a\u{fffd}<|im_start|>' },
      ],
    })
  })

  test('a limit of tokens ends with length', async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages, max_completion_tokens: 2 })
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'Hello mesh' } })
  })

  test('what this version does not do is refused by name, never ignored', async () => {
    const wanted = {
      functions: [{ name: 'f' }],
      function_call: { name: 'f' },
      audio: { voice: 'any' },
    }
    for (const [param, value] of Object.entries(wanted)) {
      const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages, [param]: value })
      expect(answer.status, param).toBe(400)
      expect(await failure(answer), param).toMatchObject({ error: { code: 'unsupported_parameter', param } })
    }
    const image = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }]
    const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages: image })
    expect(await failure(answer)).toMatchObject({
      error: { code: 'unsupported_parameter', param: 'messages[0].content[0].type' },
    })
    const harmless = {
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      logit_bias: {},
      functions: null,
    }
    expect((await post(running.url, '/v1/chat/completions', { model: MODEL, messages, ...harmless })).status).toBe(200)
  })
})

describe('errors of the peer', () => {
  test('before the first byte they are an HTTP status, with a hint and Retry-After', async () => {
    running.peer.failAt = -1
    for (const stream of [false, true]) {
      const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages, stream })
      expect(answer.status).toBe(503)
      expect(answer.headers.get('retry-after')).toBe('1')
      expect(await failure(answer)).toMatchObject({
        error: { type: 'server_error', code: 'WEFT-INF-503', message: 'peer lost in the middle' },
        weft: { code: 'WEFT-INF-503', hint: 'a hint' },
      })
    }
  })

  test('in the middle of a stream they are its last event, after the text so far, and no DONE follows', async () => {
    running.peer.failAt = 3
    const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages, stream: true })
    expect(answer.status).toBe(200)
    const events = (await answer.text()).trim().split('\n\n')
    expect(events.at(-1)).toMatch(/^data: \{"error":\{"message":"peer lost/)
    expect(events.join('')).not.toContain('[DONE]')
    expect(events.join('')).toContain('" mesh"')
    const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true })
    await expect(Array.fromAsync(stream)).rejects.toThrow('peer lost')
  })

  test('what nobody foresaw tells a client neither message nor stack, and the log has it', async () => {
    running.peer.failAt = -1
    running.peer.failure = new Error('secret path inside')
    const answer = await post(running.url, '/v1/completions', { model: MODEL, prompt: 'x' })
    expect(answer.status).toBe(500)
    const text = await answer.text()
    expect(text).toContain('WEFT-INT-001')
    expect(text).not.toMatch(/secret|\.ts|node_modules| at /)
    expect(running.log()).toContain('secret path inside')
  })
})

describe("OpenAI's own client: completions", () => {
  test('answers text, ids, several prompts; sixteen tokens by default', async () => {
    const one = await client.completions.create({ model: MODEL, prompt: 'once' })
    expect(one).toMatchObject({
      object: 'text_completion',
      choices: [{ text: TEXT, index: 0, finish_reason: 'stop', logprobs: null }],
      usage: { prompt_tokens: 3, completion_tokens: 6 },
    })
    expect(lastRequest()).toMatchObject({ maxTokens: 16, input: { kind: 'text', text: 'once' } })
    await client.completions.create({ model: MODEL, prompt: [5, 6] })
    expect(lastRequest().input).toEqual({ kind: 'ids', ids: [5, 6] })
    const many = await client.completions.create({ model: MODEL, prompt: ['a', 'b'], n: 2 })
    expect(many.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3])
    expect(many.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 24 })
    await client.completions.create({ model: MODEL, prompt: [[1], [2, 3]] })
    expect(running.peer.requests.slice(-2).map((request) => request.input)).toEqual([
      { kind: 'ids', ids: [1] },
      { kind: 'ids', ids: [2, 3] },
    ])
  })

  test('streams the same text', async () => {
    const chunks = await Array.fromAsync(await client.completions.create({ model: MODEL, prompt: 'x', stream: true }))
    expect(chunks.map((chunk) => chunk.choices[0]?.text).join('')).toBe(TEXT)
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop')
  })

  test('logprobs in the old shape, offsets into the text', async () => {
    const answer = await client.completions.create({ model: MODEL, prompt: 'x', logprobs: 2, max_tokens: 3 })
    expect(answer.choices[0]?.logprobs).toEqual({
      tokens: ['Hello', ' mesh', ','],
      token_logprobs: [-0.25, -0.25, -0.25],
      top_logprobs: [
        { Hello: -0.25, ' mesh': -1.25 },
        { ' mesh': -0.25, ',': -1.25 },
        { ',': -0.25, ' wörld': -1.25 },
      ],
      text_offset: [0, 5, 10],
    })
  })

  test('echo repeats the prompt; suffix and best_of are refused', async () => {
    const echoed = await client.completions.create({ model: MODEL, prompt: 'Say: ', echo: true })
    expect(echoed.choices[0]?.text).toBe(`Say: ${TEXT}`)
    const chunks = await Array.fromAsync(
      await client.completions.create({ model: MODEL, prompt: [0, 1], echo: true, stream: true }),
    )
    expect(chunks.map((chunk) => chunk.choices[0]?.text).join('')).toBe(`Hello mesh${TEXT}`)
    for (const [param, extra] of Object.entries({
      suffix: { suffix: 'end' },
      best_of: { best_of: 2 },
    })) {
      const answer = await post(running.url, '/v1/completions', { model: MODEL, prompt: 'x', ...extra })
      expect(await failure(answer)).toMatchObject({ error: { code: 'unsupported_parameter', param } })
    }
  })
})

describe("OpenAI's own client: embeddings", () => {
  test('gives a vector each, as numbers and as base64, with usage and route', async () => {
    const input = ['x', 'longer']
    // The client asks for base64 where nothing is said, and decodes it.
    const { data, response } = await client.embeddings.create({ model: MODEL, input }).withResponse()
    const wanted = [1, 6].map((length) => Array.from(Float32Array.of(length, 0.1, -2)))
    expect(data).toMatchObject({ object: 'list', model: MODEL, usage: { prompt_tokens: 6, total_tokens: 6 } })
    expect(data.data.map(({ index, object }) => [index, object])).toEqual([
      [0, 'embedding'],
      [1, 'embedding'],
    ])
    expect(data.data.map(({ embedding }) => Array.from(embedding))).toEqual(wanted)
    expect(response.headers.get('x-weft-route')).toBe('12D3KooWFake[0:4]')
    const numbers = await client.embeddings.create({ model: MODEL, input, encoding_format: 'float', dimensions: 3 })
    expect(numbers.data.map(({ embedding }) => embedding)).toEqual(wanted)
    for (const one of [
      [1, 2],
      [[1, 2], [3]],
    ]) {
      const { data: given } = await client.embeddings.create({ model: MODEL, input: one, dimensions: 1 })
      expect(given.length).toBe(Array.isArray(one[0]) ? 2 : 1)
    }
  })

  test("refuses what is no text, in OpenAI's words, and ends when the client goes", async () => {
    const bad = [
      {},
      { input: '' },
      { input: [] },
      { input: ['a', ''] },
      { input: [[]] },
      { input: [1.5] },
      { input: ['a', 1] },
      { input: 'a', encoding_format: 'int8' },
      { input: 'a', dimensions: 0 },
      { input: Array.from({ length: 2_049 }, () => 'a') },
    ]
    for (const body of bad) {
      const answer = await post(running.url, '/v1/embeddings', { model: MODEL, ...body })
      expect(answer.status, JSON.stringify(body).slice(0, 80)).toBe(400)
      expect(await failure(answer)).toMatchObject({ error: { code: 'invalid_value' }, weft: { code: 'WEFT-API-010' } })
    }
    const large = await post(running.url, '/v1/embeddings', { model: MODEL, input: 'a'.repeat(2 << 20) })
    expect(large.status).toBe(200)
    const larger = await post(running.url, '/v1/embeddings', { model: MODEL, input: 'a'.repeat(5 << 20) })
    expect(larger.status).toBe(413)
    const nothing = client.embeddings.create({ model: 'nope', input: 'x' })
    await expect(nothing).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
    const before = running.peer.aborted
    const end = new AbortController()
    const asked = client.embeddings.create({ model: MODEL, input: 'wait' }, { signal: end.signal })
    asked.catch(() => undefined)
    await until(async () => (await (await fetch(`${running.url}/metrics`)).text()).includes('weft_http_in_flight 1'))
    end.abort()
    await expect(asked).rejects.toThrow()
    await until(() => running.peer.aborted > before)
  })
})

test('times of generations are measured under the GenAI names, with models that exist as labels', async () => {
  const text = await (await fetch(`${running.url}/metrics`)).text()
  const line = (name: string, rest: string): RegExp =>
    new RegExp(`^${name}_count\\{[^\\n]*${rest}[^\\n]*\\} [1-9]`, 'm')
  expect(text).toMatch(line('gen_ai_server_request_duration_seconds', `gen_ai_request_model="${MODEL}"`))
  expect(text).toMatch(line('gen_ai_server_time_to_first_token_seconds', 'gen_ai_operation_name="chat"'))
  expect(text).toMatch(line('gen_ai_server_time_per_output_token_seconds', 'gen_ai_operation_name="text_completion"'))
  expect(text).toMatch(/weft_http_requests_total\{route="\/v1\/chat\/completions",status="200"\} [1-9]/)
  expect(text).not.toContain('nope')
})

test('who comes first, and what nobody waits for, as OpenAI and weft have it', async () => {
  running.peer.requests.length = 0
  const messages = [{ role: 'user', content: 'hi' }]
  for (const more of [
    { service_tier: 'priority' },
    { service_tier: 'flex' },
    { service_tier: 'auto' },
    { service_tier: 'priority', weft: { priority: 'low' } },
  ])
    expect((await post(running.url, '/v1/chat/completions', { model: MODEL, messages, ...more })).status).toBe(200)
  expect(running.peer.requests.map(({ priority, lane }) => [priority, lane])).toEqual([
    ['high', undefined],
    [undefined, 'batch'],
    [undefined, undefined],
    ['low', undefined],
  ])
  const wrong = await post(running.url, '/v1/chat/completions', { model: MODEL, messages, weft: { priority: 'first' } })
  expect(wrong.status).toBe(400)
})
