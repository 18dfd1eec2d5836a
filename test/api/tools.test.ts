/** Tools and forms of answers, as OpenAI's own client asks for them. */
import OpenAI from 'openai'
import { array, assert, integer, property } from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CallReader } from '../../src/api/openai/tool-calls.ts'
import type { CallEvent } from '../../src/api/openai/tool-calls.ts'
import { MODEL } from './fake-peer.ts'
import { failure, post, start } from './support.ts'
import type { Running } from './support.ts'

const messages = [{ role: 'user' as const, content: 'hi' }]
const WEATHER = {
  type: 'function' as const,
  function: {
    name: 'weather',
    description: 'of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const TIME = { type: 'function' as const, function: { name: 'time' } }
const CALLS = [
  'Let me see.<tool',
  '_call>\n{"name": "wea',
  'ther", "arguments": {"ci',
  'ty": "U\\"l}m"}}\n</tool_call>\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_',
  'call>',
  '',
]

let running: Running
let client: OpenAI

beforeAll(async () => {
  running = await start()
  client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'anything', maxRetries: 0 })
})
afterAll(() => running.api.close())
beforeEach(() => {
  running.peer.script = null
  running.peer.requests.length = 0
})
const lastRequest = (): Running['peer']['requests'][number] => running.peer.requests.at(-1)!

describe('calls of tools', () => {
  it('come whole, with their arguments as JSON', async () => {
    running.peer.script = CALLS
    const { choices } = await client.chat.completions.create({ model: MODEL, messages, tools: [WEATHER, TIME] })
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: 'Let me see.' } })
    const calls = choices[0]!.message.tool_calls!.map((call) => (call.type === 'function' ? call.function : null))
    expect(calls).toEqual([
      { name: 'weather', arguments: '{"city": "U\\"l}m"}' },
      { name: 'time', arguments: '{}' },
    ])
    expect(new Set(choices[0]!.message.tool_calls!.map(({ id }) => id)).size).toBe(2)
  })

  it('come piece by piece in a stream, and are what comes whole', async () => {
    running.peer.script = CALLS
    const stream = client.chat.completions.stream({ model: MODEL, messages, tools: [WEATHER, TIME] })
    let pieces = 0
    for await (const chunk of stream) pieces += chunk.choices[0]?.delta.tool_calls?.length ?? 0
    const message = await stream.finalMessage()
    expect(pieces).toBeGreaterThan(4)
    expect(message.content).toBe('Let me see.')
    expect(message.tool_calls!.map((call) => (call.type === 'function' ? call.function.arguments : ''))).toEqual([
      '{"city": "U\\"l}m"}',
      '{}',
    ])
    expect((await stream.finalChatCompletion()).choices[0]!.finish_reason).toBe('tool_calls')
  })

  it('are found where the answer begins with one', async () => {
    running.peer.script = ['<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>', '']
    const { choices } = await client.chat.completions.create({ model: MODEL, messages, tools: [WEATHER, TIME] })
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null, tool_calls: [{ type: 'function', function: { name: 'time', arguments: '{}' } }] },
    })
  })

  it('are told to the model with the conversation so far, and hold its answer to them', async () => {
    await client.chat.completions.create({
      model: MODEL,
      messages: [
        ...messages,
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Ulm"}' } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'rain' },
      ],
      tools: [WEATHER, TIME],
      tool_choice: 'required',
      parallel_tool_calls: false,
    })
    const { input, format } = lastRequest()
    expect(input).toEqual({
      kind: 'chat',
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: '', toolCalls: [{ id: 'c1', name: 'weather', arguments: { city: 'Ulm' } }] },
        { role: 'tool', content: 'rain', toolCallId: 'c1' },
      ],
      tools: [
        { name: 'weather', description: 'of a city', parameters: WEATHER.function.parameters },
        { name: 'time', parameters: { type: 'object', properties: {} } },
      ],
    })
    expect(JSON.parse(format?.kind === 'calls' ? format.text : '')).toMatchObject({
      calls: [{ name: 'weather' }, { name: 'time' }],
      required: true,
      single: true,
    })
  })

  it('of one function by its name, or of none', async () => {
    const one = { type: 'function' as const, function: { name: 'time' } }
    await client.chat.completions.create({ model: MODEL, messages, tools: [WEATHER, TIME], tool_choice: one })
    const { format } = lastRequest()
    expect(JSON.parse(format?.kind === 'calls' ? format.text : '')).toMatchObject({
      calls: [{ name: 'time' }],
      single: true,
    })
    await client.chat.completions.create({ model: MODEL, messages, tools: [WEATHER], tool_choice: 'none' })
    expect(lastRequest().format).toBeUndefined()
    expect(lastRequest().input).not.toHaveProperty('tools')
  })

  it('that are no calls stay text, where no tools were given and where they are broken off', async () => {
    running.peer.script = CALLS
    const plain = await client.chat.completions.create({ model: MODEL, messages })
    expect(plain.choices[0]!.message.content).toBe(CALLS.join(''))
    expect(plain.choices[0]!.finish_reason).toBe('stop')
    running.peer.script = ['<tool_call>\n{"name": "wea', 'th']
    const cut = await client.chat.completions.create({ model: MODEL, messages, tools: [WEATHER] })
    expect(cut.choices[0]!.message).toMatchObject({ content: '<tool_call>\n{"name": "weath' })
    expect(cut.choices[0]!.message.tool_calls).toBeUndefined()
  })
})

it('calls are found whatever pieces the text comes in', () => {
  const text = CALLS.join('') + ' done <tool_call> of nothing'
  const collect = (pieces: readonly string[]): Record<string, string> => {
    const reader = new CallReader()
    const events: CallEvent[] = [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()]
    const seen: Record<string, string> = { content: '' }
    for (const event of events) {
      if (event.type === 'content') seen['content'] += event.text
      else if (event.type === 'call') seen[`${event.index} ${event.name}`] = ''
      else for (const key of Object.keys(seen)) if (key.startsWith(`${event.index} `)) seen[key] += event.text
    }
    return seen
  }
  const whole = collect([text])
  expect(whole).toEqual({
    content: 'Let me see. done <tool_call> of nothing',
    '0 weather': '{"city": "U\\"l}m"}',
    '1 time': '{}',
  })
  assert(
    property(array(integer({ min: 1, max: 9 }), { minLength: 30, maxLength: 80 }), (lengths) => {
      const pieces: string[] = []
      let at = 0
      for (const length of lengths) {
        pieces.push(text.slice(at, at + length))
        at += length
      }
      expect(collect([...pieces, text.slice(at)])).toEqual(whole)
    }),
  )
})

it.each(['5', '-1.5e3', 'true', 'null', '"a} \\" ]"', '[1, {"b": "]"}]', '{"a": {"b": 1}}', '{}'])(
  'arguments that are %s end where they end',
  (value) => {
    for (const end of ['}', ' }', '\n}\n']) {
      const text = `<tool_call>{"name": "f", "arguments": ${value}${end}</tool_call>, then`
      for (const size of [1, 3, text.length]) {
        const reader = new CallReader()
        const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
          text.slice(at * size, (at + 1) * size),
        )
        const events = [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()]
        const of = (type: 'arguments' | 'content'): string =>
          events.map((event) => (event.type === type ? event.text : '')).join('')
        expect([of('arguments'), of('content'), reader.calls]).toEqual([value, ', then', 1])
      }
    }
  },
)

describe('the form of an answer', () => {
  it('is any JSON object, a schema, or text', async () => {
    await client.chat.completions.create({ model: MODEL, messages, response_format: { type: 'json_object' } })
    expect(lastRequest().format).toEqual({ kind: 'json' })
    const schema = { type: 'object', properties: { a: { type: 'integer' } } }
    await client.chat.completions.create({
      model: MODEL,
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } },
    })
    expect(lastRequest().format).toEqual({ kind: 'schema', text: JSON.stringify(schema) })
    await client.chat.completions.create({ model: MODEL, messages, response_format: { type: 'text' } })
    expect(lastRequest().format).toBeUndefined()
  })

  it('logits are moved by token id', async () => {
    await client.chat.completions.create({ model: MODEL, messages, logit_bias: { 5: -100, 17: 2.5 } })
    expect(lastRequest().sampling.logitBias).toEqual([
      [5, -100],
      [17, 2.5],
    ])
  })

  const schema = (value: unknown): object => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: value } },
  })
  it.each([
    [schema({ type: 'object', properties: { a: { not: {} } } }), 'response_format.json_schema.schema.properties.a.not'],
    [schema(7), 'response_format.json_schema.schema'],
    [{ response_format: { type: 'xml' } }, 'response_format.type'],
    [{ tools: [{ type: 'function', function: { name: 'no spaces' } }] }, 'tools[0].function.name'],
    [{ tools: [TIME, TIME] }, 'tools'],
    [
      { tools: [{ type: 'function', function: { name: 'f', parameters: { not: {} } } }] },
      'tools[0].function.parameters.not',
    ],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tools: [TIME], tool_choice: { type: 'function', function: { name: 'other' } } }, 'tool_choice.function.name'],
    [{ tools: [TIME], response_format: { type: 'json_object' } }, 'response_format'],
    [{ logit_bias: { word: 1 } }, 'logit_bias.word'],
    [{ logit_bias: { 5: 101 } }, 'logit_bias.5'],
    [
      {
        messages: [
          {
            role: 'user',
            content: 'x',
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
          },
        ],
      },
      'messages[0].tool_calls',
    ],
    [
      {
        messages: [
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{' } }],
          },
        ],
      },
      'messages[0].tool_calls[0].function.arguments',
    ],
  ])('%j is refused by the name of its field', async (fields, param) => {
    const answer = await post(running.url, '/v1/chat/completions', { model: MODEL, messages, ...fields })
    expect(answer.status).toBe(400)
    expect((await failure(answer)).error.param).toBe(param)
    expect(running.peer.requests).toEqual([])
  })
})
