/** Answers that are held to a form: whatever the model would say, what comes is of it. */
import { beforeAll, describe, expect, it } from 'vitest'
import { createSampler } from '../../../src/pipeline/host/sampler.ts'
import type { GrammarVocabulary } from '../../../src/pipeline/host/grammar/grammars.ts'
import { Grammars } from '../../../src/pipeline/host/grammar/grammars.ts'
import { checkedSchema } from '../../../src/pipeline/host/grammar/schema.ts'
import type { AnswerFormat } from '../../../src/pipeline/index.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { BYTE_TO_CHARACTER } from '../../../src/models/tokenizer/byte-alphabet.ts'

const WORDS = [
  '{"',
  '":',
  '", "',
  '"}',
  'true',
  'null',
  '<tool',
  '_call>',
  '</',
  '{"name": "',
  'arguments',
  ' 12',
  '\n',
  '[]',
]
const END = 256 + WORDS.length
const encoded = (text: string): string => Array.from(Buffer.from(text), (byte) => BYTE_TO_CHARACTER[byte]!).join('')
const VOCABULARY: GrammarVocabulary = {
  logits: END + 3,
  tokens: [...BYTE_TO_CHARACTER, ...WORDS.map(encoded), '', ''],
  endTokens: [END],
}

let grammars: Grammars
beforeAll(() => {
  grammars = new Grammars(() => Promise.resolve(VOCABULARY))
})

/** What a model of random logits says, by a seed. */
async function answer(format: AnswerFormat, seed: number, most = 4_000): Promise<{ text: string; ended: boolean }> {
  const mask = grammars.mask(format, [])
  const sampler = createSampler(
    { sampling: { ...GREEDY, temperature: 1, seed }, logprobs: -1, history: [], format },
    mask,
  )
  const bytes: number[] = []
  let state = seed + 1
  for (let position = 0; position < most; position++) {
    await sampler.ready!()
    const logits = Float32Array.from({ length: VOCABULARY.logits }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 30
    })
    // Ends and brackets are likelier than in noise, or strings would hardly end.
    for (const id of [END, 34, 125, 93]) logits[id] = logits[id]! + 6
    const { id } = sampler.sample(logits, position)
    if (id === END) return { text: Buffer.from(bytes).toString(), ended: true }
    expect(id).toBeLessThan(END)
    bytes.push(...(id < 256 ? [id] : Buffer.from(WORDS[id - 256]!)))
  }
  sampler.close!()
  return { text: Buffer.from(bytes).toString(), ended: false }
}

const PERSON = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 },
    home: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/place' }] },
  },
  required: ['name', 'age', 'tags', 'home'],
  additionalProperties: false,
  $defs: {
    place: { type: 'object', properties: { city: { const: 'Ulm' } }, required: ['city'], additionalProperties: false },
  },
}

describe('an answer', () => {
  it('is one value of its schema, whatever the model would say, and ends', async () => {
    const format = { kind: 'schema', text: checkedSchema(PERSON) } as const
    for (let seed = 0; seed < 20; seed++) {
      const { text, ended } = await answer(format, seed)
      expect(ended).toBe(true)
      const value = JSON.parse(text) as { name: string; age: number; tags: string[]; home: { city: string } | null }
      expect(Object.keys(value)).toEqual(['name', 'age', 'tags', 'home'])
      expect(Array.from(value.name).length).toBeLessThanOrEqual(12)
      expect(Number.isInteger(value.age) && value.age >= 0 && value.age <= 150).toBe(true)
      expect(value.tags.every((tag) => ['a', 'b'].includes(tag)) && value.tags.length <= 3).toBe(true)
      expect(value.home === null || value.home.city === 'Ulm').toBe(true)
    }
  })

  it('is a JSON object where only that is asked for', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const { text, ended } = await answer({ kind: 'json' }, seed)
      if (ended) expect(JSON.parse(text)).toBeTypeOf('object')
      expect(text.trimStart().startsWith('{')).toBe(true)
    }
  })

  it('that must call a tool calls one of those there are, with arguments of its schema', async () => {
    const calls = [
      {
        name: 'weather',
        parameters: {
          type: 'object',
          properties: { city: { enum: ['Ulm', 'Rom'] } },
          required: ['city'],
          additionalProperties: false,
        },
      },
      { name: 'time', parameters: { type: 'object', properties: {}, additionalProperties: false } },
    ]
    const format = { kind: 'calls', text: JSON.stringify({ calls, required: true, single: true }) } as const
    const seen = new Set<string>()
    for (let seed = 0; seed < 12; seed++) {
      const { text, ended } = await answer(format, seed)
      expect(ended).toBe(true)
      const inner = /^<tool_call>\n(.*)\n<\/tool_call>$/s.exec(text)![1]!
      const { name, arguments: given } = JSON.parse(inner) as { name: string; arguments: { city?: string } }
      seen.add(name)
      if (name === 'weather') expect(['Ulm', 'Rom']).toContain(given.city)
      else expect(given).toEqual({})
    }
    expect([...seen].toSorted()).toEqual(['time', 'weather'])
  })

  it('that must call a tool has its arguments on one line, also of a model that would write blanks for ever', async () => {
    const parameters = { type: 'object', properties: { a: { type: 'array', items: { type: 'integer' } }, b: {} } }
    for (const required of [true, false]) {
      const format = {
        kind: 'calls',
        text: JSON.stringify({ calls: [{ name: 'f', parameters }], required, single: true }),
      } as const
      const begun = [...Buffer.from('<tool_call>\n{"name": "f", "arguments": {')]
      const mask = grammars.mask(format, begun)
      await mask.ready()
      const allowed = mask.apply(new Float32Array(VOCABULARY.logits))
      const free = [...allowed.keys()].filter((id) => allowed[id] === 0 && id < 256)
      expect(free.map((id) => String.fromCharCode(id))).toEqual(['"', '}'])
      mask.close()
    }
    for (let seed = 0; seed < 4; seed++) {
      const format = {
        kind: 'calls',
        text: JSON.stringify({ calls: [{ name: 'f', parameters }], required: true, single: true }),
      }
      const { text, ended } = await answer(format as AnswerFormat, seed)
      if (!ended) continue
      const inner = /^<tool_call>\n(.*)\n<\/tool_call>$/s.exec(text)![1]!
      const { arguments: given } = JSON.parse(inner) as { arguments: object }
      expect(Object.keys(given).every((key) => ['a', 'b'].includes(key))).toBe(true)
    }
  })

  it('goes on in its form where another head takes over', async () => {
    const format = { kind: 'schema', text: checkedSchema({ enum: ['abc', 'abd'] }) } as const
    const said = [...Buffer.from('"ab')]
    const mask = grammars.mask(format, said)
    await mask.ready()
    const allowed = mask.apply(new Float32Array(VOCABULARY.logits))
    const free = [...allowed.keys()].filter((id) => allowed[id] === 0)
    expect(free.map((id) => String.fromCharCode(id))).toEqual(['c', 'd'])
    mask.close()
  })
})

describe('what no answer can be held to', () => {
  it.each([
    [{ type: 'objekt' }, 'type'],
    [{ type: 'object', properties: { a: { type: 'integer', multipleOf: 3 } } }, 'properties.a.multipleOf'],
    [{ type: 'string', maxLength: 20_000 }, 'maxLength'],
    [{ type: 'array', items: { $ref: '#/$defs/none' } }, 'items.$ref'],
    [{ $ref: 'https://example.org/schema' }, '$ref'],
    [{ allOf: [{}, {}] }, 'allOf'],
    [{ not: {} }, 'not'],
    [{ enum: [] }, 'enum'],
    [{ type: 'string', pattern: '.*' }, 'pattern'],
    [{ type: 'string', pattern: '[^a]' }, 'pattern'],
    [{ type: 'string', pattern: 'a\\\\b' }, 'pattern'],
    [{ properties: { a: 7 } }, 'properties.a'],
    [7, ''],
    [null, ''],
    ['{}', ''],
  ])('%j is refused with its place', (schema, where) => {
    expect(() => checkedSchema(schema)).toThrow(expect.objectContaining({ code: 'WEFT-INF-014', details: { where } }))
  })

  it('is deep, or large', () => {
    let deep: object = { type: 'string' }
    for (let level = 0; level < 40; level++) deep = { type: 'array', items: deep }
    expect(() => checkedSchema(deep)).toThrow(expect.objectContaining({ code: 'WEFT-INF-014' }))
    const wide = { enum: ['x'.repeat(40_000)] }
    expect(() => checkedSchema(wide)).toThrow(expect.objectContaining({ code: 'WEFT-INF-014' }))
  })

  it('a pattern that is none costs its own answer and no other', async () => {
    const good = grammars.mask({ kind: 'schema', text: checkedSchema({ enum: ['x'] }) }, [])
    await good.ready()
    const bad = grammars.mask({ kind: 'schema', text: checkedSchema({ type: 'string', pattern: '(a|b' }) }, [])
    await expect(bad.ready()).rejects.toMatchObject({ code: 'WEFT-INF-014' })
    good.accept(34)
    await good.ready()
    const after = grammars.mask({ kind: 'schema', text: checkedSchema({ type: 'string', pattern: '^(a|b)$' }) }, [])
    await after.ready()
    for (const mask of [good, bad, after]) mask.close()
  })

  it('a sampler without a grammar says so', () => {
    const format = { kind: 'json' } as const
    expect(() => createSampler({ sampling: GREEDY, logprobs: -1, history: [], format })).toThrow(
      expect.objectContaining({ code: 'WEFT-INF-015' }),
    )
  })
})

describe('many schemas at once', () => {
  const good = (index: number): AnswerFormat => ({
    kind: 'schema',
    text: JSON.stringify({ type: 'object', properties: { [`k${index}`]: { type: 'integer' } } }),
  })
  const bad = (index: number): AnswerFormat => ({
    kind: 'schema',
    text: JSON.stringify({ type: 'string', pattern: `(a${index}|b` }),
  })
  const ended = async (format: AnswerFormat): Promise<string> => {
    const mask = grammars.mask(format, [])
    return mask.ready().then(
      () => 'ready',
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    )
  }

  it('more than are kept: each is there for its answer, though it has made room for another', async () => {
    const all = await Promise.all(Array.from({ length: 40 }, (_, index) => ended(good(index))))
    expect(new Set(all)).toEqual(new Set(['ready']))
  })

  it('malformed ones beside them fail alone, and end nothing', async () => {
    const formats = Array.from({ length: 24 }, (_, index) => [bad(index), good(100 + index)]).flat()
    const all = await Promise.all(formats.map(ended))
    expect(all.filter((_, index) => index % 2 === 0).every((code) => code.startsWith('WEFT-'))).toBe(true)
    expect(all.filter((_, index) => index % 2 === 1).every((code) => code === 'ready')).toBe(true)
  })
})
