import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createTokenizer } from '../../src/models/index.ts'
import { preTokenizer } from '../../src/models/tokenizer/pre-tokenizer.ts'
import { fixture, hasShared, ownDefinition, sharedDefinition } from './support/tokenizers.ts'
import type { SharedTokenizer } from './support/tokenizers.ts'

// Written by fixtures/tokenizer-goldens.py with Hugging Face tokenizers and with SentencePiece.
const { cases } = fixture('tokenizer-cases') as { readonly cases: readonly string[] }
const words = fixture('tokenizer-words') as Readonly<Record<string, readonly (readonly number[])[]>>
const own = fixture('tokenizer-own') as { readonly ids: Readonly<Record<string, readonly (readonly number[])[]>> }
const ids = fixture('tokenizer-ids') as Readonly<
  Record<SharedTokenizer, Readonly<Record<'plain' | 'special', readonly (readonly number[])[] | undefined>>>
>

describe('the words of a pre-tokenizer', () => {
  it.each(Object.keys(words))('are those of Hugging Face for %s', (name) => {
    const pre = preTokenizer(name)
    const lengths = cases.map((text) => Array.from(pre.split(text), (word) => Array.from(word).length))
    expect(lengths).toEqual(words[name])
  })

  it.each(Object.keys(words))('joined give the text back for %s', (name) => {
    for (const text of cases) expect(Array.from(preTokenizer(name).split(text)).join('')).toBe(text)
  })
})

describe('the ids of our own vocabulary', () => {
  it.each(Object.keys(own.ids))('are those of Hugging Face with pre-tokenizer %s', (pre) => {
    const tokenizer = createTokenizer(ownDefinition({ pre }))
    const golden = own.ids[pre] ?? []
    expect(golden.length).toBeGreaterThan(50)
    expect(golden.map((_, i) => tokenizer.encode(cases[i] ?? ''))).toEqual(golden)
  })
})

describe.each(['gpt2', 'smollm2', 'llama', 'tok512'] as const)('the ids of %s', (name) => {
  const present = hasShared(name)
  const why = present ? '' : ' (skipped: ../shared is not here)'

  it.skipIf(!present)(`are exact to the token, the first and the second time${why}`, async () => {
    const tokenizer = createTokenizer(await sharedDefinition(name))
    for (const mode of ['plain', 'special'] as const) {
      const golden = ids[name][mode]
      if (golden === undefined) continue
      const encode = (text: string): number[] => tokenizer.encode(text, { special: mode === 'special', addBos: false })
      expect(cases.map(encode)).toEqual(golden)
      expect(cases.map(encode)).toEqual(golden)
    }
  })

  it.skipIf(!present)(`decode to the text that they were made from${why}`, async () => {
    const tokenizer = createTokenizer(await sharedDefinition(name))
    for (const text of cases) {
      // SmolLM2 has no token for some bytes; U+2581 is SentencePiece's own sign for a space.
      const absent = ['\u0004', '\u0006', '\u0013', '\u{50000}']
      if (name === 'smollm2' && absent.some((character) => text.includes(character))) continue
      const spm = name === 'llama' || name === 'tok512'
      const expected = spm ? text.replaceAll('\u2581', ' ') : text
      expect(tokenizer.decode(tokenizer.encode(text, { addBos: spm }))).toBe(expected)
    }
  })
})

describe('stories260K', () => {
  it.skipIf(!hasShared('tok512'))('encodes the prompt of its documentation', async () => {
    const tokenizer = createTokenizer(await sharedDefinition('tok512'))
    expect(tokenizer.encode('Once upon a time')).toEqual([1, 403, 407, 261, 378])
  })
})

const hostile = fixture('tokenizer-hostile') as {
  readonly strings: readonly string[]
  /** By `tokenizer/mode`: the beginning of the SHA-256 of each string's ids. */
  readonly digests: Readonly<Record<string, readonly string[]>>
}

describe('the ids of hostile strings', () => {
  const digest = (ids: readonly number[]): string =>
    createHash('sha256').update(ids.join(',')).digest('hex').slice(0, 8)

  it.for(Object.keys(hostile.digests))('are those of the reference for %s', async (key, { skip }) => {
    const [name, mode] = key.split('/') as [string, string]
    const isOwn = name.startsWith('own:')
    if (!isOwn && !hasShared(name as SharedTokenizer)) skip('../shared is not here')
    const definition = isOwn ? ownDefinition({ pre: name.slice(4) }) : await sharedDefinition(name as SharedTokenizer)
    const tokenizer = createTokenizer(definition)
    const wrong = hostile.strings.filter((text, index) => {
      const ids = tokenizer.encode(text, { special: mode === 'special', addBos: false })
      return digest(ids) !== hostile.digests[key]![index]
    })
    expect(hostile.strings.length).toBeGreaterThanOrEqual(300)
    expect(wrong).toEqual([])
  })
})
