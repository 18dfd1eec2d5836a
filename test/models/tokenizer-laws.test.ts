import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTokenizer, TOKEN_TYPE } from '../../src/models/index.ts'
import type { TokenizerDefinition } from '../../src/models/index.ts'
import { OWN_CONTROLS, ownDefinition, spmDefinition } from './support/tokenizers.ts'

const PIECES: readonly (readonly [string, number])[] = [
  ['\u2581', -900],
  ...Array.from('abcdehlmnorstuw.,!\n\u00e9\u4f60', (letter, i): [string, number] => [letter, -1000 - i]),
  ['\u2581\u2581', -1],
  ['\u2581t', -2],
  ['th', -3],
  ['he', -4],
  ['\u2581the', -2.5],
  ['ab', -5],
  ['ba', -5],
  ['aba', -6],
  ['\u2581a', -7],
  ['lo', -8],
  ['llo', -8],
  ['hello', -9],
  ['hel', -10],
  ['s>', -11],
  ['<s', -12],
  ['<', -2000],
  ['>', -2000],
]

/** Text that is rich in what the vocabularies have. */
const mixed = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.constantFrom(' ', '  ', '\n', '\r\n', '\t', 'the ', 'hello', 'abab', 'aaaa', '12345', "it's", 'é', '你', '😀'),
      fc.constantFrom(...OWN_CONTROLS, '<s>', '</s>', '<|im_', 'end|>', '<', '|', '>', '<0x41>', '\u2581'),
    ),
    { maxLength: 24 },
  )
  .map((parts) => parts.join(''))

const bpe = createTokenizer(ownDefinition())
const spm = createTokenizer(spmDefinition(PIECES))
const crossing = createTokenizer(spmDefinition([...PIECES, ['e\u2581t', -0.5], ['a\u2581', -20]]))

/** Runs a law on many texts; a law that does not hold throws. */
function check(law: (text: string) => void, texts: fc.Arbitrary<string> = mixed): void {
  fc.assert(
    fc.property(texts, (text) => {
      law(text)
    }),
  )
}

function controls({ types }: TokenizerDefinition, ids: readonly number[]): number[] {
  return ids.filter((id) => types[id] === TOKEN_TYPE.control || types[id] === TOKEN_TYPE.unknown)
}

describe('byte-level BPE', () => {
  const definition = ownDefinition()

  it('decodes to exactly the text that it encoded', () => {
    check((text) => expect(bpe.decode(bpe.encode(text))).toBe(text))
  })

  it('gives the ids of the slow definition of BPE', () => {
    const tokenizer = createTokenizer(ownDefinition({ pre: 'gpt-2' }))
    const word = fc.string({ unit: fc.constantFrom(...Array.from('abehlnorst')), minLength: 1, maxLength: 40 })
    check((text) => expect(tokenizer.encode(text)).toEqual(slowBpe(definition, text)), word)
  })

  it('never makes a control token of plain text', () => {
    check((text) => expect(controls(definition, bpe.encode(text))).toEqual([]))
  })
})

describe.each([
  ['byte-level BPE', bpe],
  ['SentencePiece with words', spm],
  ['SentencePiece across words', crossing],
] as const)('a bound on the ids: %s', (_name, tokenizer) => {
  it('changes nothing of a text that keeps to it, and shows of every other that it does not', () => {
    check((text) => {
      const all = tokenizer.encode(text)
      for (const most of [0, 1, 3, all.length - 1, all.length, all.length + 1].filter((bound) => bound >= 0)) {
        const ids = tokenizer.encode(text, { most })
        if (all.length <= most) expect(ids).toEqual(all)
        else expect(ids.length).toBeGreaterThan(most)
      }
    })
  })

  it('ends the work on a megabyte soon, in words or in one piece', () => {
    for (const text of ['the '.repeat(250_000), 'a'.repeat(1 << 20), ' '.repeat(1 << 20), 'x7é!'.repeat(250_000)]) {
      expect(tokenizer.encode(text, { most: 50 }).length).toBeLessThan(4_000)
      const chat = tokenizer.encodeChat([{ role: 'user', content: text }], { most: 50 })
      expect(chat.ids.length).toBeGreaterThan(50)
      expect(chat.ids.length).toBeLessThan(4_000)
    }
  })
})

describe.each([
  ['that can be cut into words', spm, spmDefinition(PIECES)],
  ['with tokens across words', crossing, spmDefinition([...PIECES, ['e\u2581t', -0.5], ['a\u2581', -20]])],
] as const)('SentencePiece %s', (_name, tokenizer, definition) => {
  it('decodes to exactly the text that it encoded', () => {
    check((text) => expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replaceAll('\u2581', ' ')))
  })

  it('gives the ids of the slow definition of SentencePiece', () => {
    check((text) => {
      const expected = text === '' ? [] : slowSpm(definition, ` ${text}`)
      expect(tokenizer.encode(text, { addBos: false })).toEqual(expected)
    })
  })

  it('never makes a control token of plain text', () => {
    check((text) => expect(controls(definition, tokenizer.encode(text, { addBos: false }))).toEqual([]))
  })
})

describe.each([
  ['BPE', bpe],
  ['SentencePiece', spm],
] as const)('every %s tokenizer', (_name, tokenizer) => {
  it('gives the same ids the second time, and after other texts', () => {
    fc.assert(
      fc.property(mixed, mixed, (text, other) => {
        const first = tokenizer.encode(text)
        tokenizer.encode(other)
        expect(tokenizer.encode(text)).toEqual(first)
      }),
    )
  })

  it('streams what it decodes, also ids that are no text, and the stream begins anew after its end', () => {
    const anyIds = fc.array(fc.nat(tokenizer.vocabulary - 1), { maxLength: 40 })
    fc.assert(
      fc.property(anyIds, fc.boolean(), (ids, special) => {
        const stream = tokenizer.stream({ special })
        for (let time = 0; time < 2; time++) {
          const text = ids.map((id) => stream.push(id)).join('') + stream.end()
          expect(text).toBe(tokenizer.decode(ids, { special }))
        }
      }),
    )
  })

  it('decodes the bytes of its tokens', () => {
    check((text) => {
      const ids = tokenizer.encode(text, { addBos: false })
      expect(Buffer.concat(ids.map((id) => tokenizer.bytes(id))).toString()).toBe(tokenizer.decode(ids))
    })
  })

  it('never splits a character in a stream', () => {
    const stream = tokenizer.stream()
    const pieces = tokenizer.encode('a😀é你', { addBos: false }).map((id) => stream.push(id))
    expect(pieces.join('')).toContain('😀é你')
    for (const piece of pieces) expect(piece).not.toContain('\ufffd')
    expect(stream.end()).toBe('')
  })
})

/** BPE as it is written down: join the best pair everywhere it stands, until there is none. */
function slowBpe({ tokens, merges = [] }: TokenizerDefinition, word: string): number[] {
  let parts = Array.from(word)
  for (;;) {
    const ranks = parts.slice(1).map((part, i) => merges.indexOf(`${parts[i]} ${part}`))
    const best = Math.min(...ranks.filter((rank) => rank >= 0))
    if (best === Infinity) return parts.map((part) => tokens.indexOf(part))
    const at = ranks.indexOf(best)
    parts = [...parts.slice(0, at), `${parts[at]}${parts[at + 1]}`, ...parts.slice(at + 2)]
  }
}

/** SentencePiece as it is written down: join the pair whose token scores best, the leftmost of equals. */
function slowSpm({ tokens, types, scores = [] }: TokenizerDefinition, text: string): number[] {
  const idOf = (part: string): number =>
    tokens.findIndex((token, id) => types[id] === TOKEN_TYPE.normal && token === part)
  let parts = Array.from(text.replaceAll(' ', '\u2581'))
  for (;;) {
    let at = -1
    let best = -Infinity
    for (let i = 0; i + 1 < parts.length; i++) {
      const id = idOf(`${parts[i]}${parts[i + 1]}`)
      if (id >= 0 && (scores[id] ?? 0) > best) {
        best = scores[id] ?? 0
        at = i
      }
    }
    if (at === -1) break
    parts = [...parts.slice(0, at), `${parts[at]}${parts[at + 1]}`, ...parts.slice(at + 2)]
  }
  return parts.flatMap((part) => {
    const id = idOf(part)
    return id >= 0 ? [id] : [...Buffer.from(part)].map((byte) => 3 + byte)
  })
}

describe('encoding in pieces', () => {
  const long = 'the hello, abab 12345 it\u2019s 你 '.repeat(4_000)
  const word = 'ab'.repeat(60_000)
  const drive = <Result>(work: Generator<undefined, Result, undefined>): { steps: number; result: Result } => {
    for (let steps = 1; ; steps++) {
      const step = work.next()
      if (step.done === true) return { steps, result: step.value }
    }
  }

  it('gives the same ids, in one step where the text is short and in many where it is long', () => {
    check((text) => {
      for (const tokenizer of [bpe, spm, crossing]) {
        const { steps, result } = drive(tokenizer.encodePieces(text, { special: true }))
        expect(steps).toBe(1)
        expect(result).toEqual(tokenizer.encode(text, { special: true }))
      }
    })
    for (const tokenizer of [bpe, spm, crossing])
      for (const text of [long, word, long + word]) {
        const { steps, result } = drive(tokenizer.encodePieces(text))
        expect(steps).toBeGreaterThan(4)
        expect(result).toEqual(tokenizer.encode(text))
      }
  })

  it('takes two texts by turns, and conversations as well', () => {
    const [one, other] = [bpe.encodePieces(long), bpe.encodePieces(word + long)]
    const ids = new Map<typeof one, readonly number[]>()
    while (ids.size < 2)
      for (const work of [one, other]) {
        const step = work.next()
        if (step.done === true && step.value !== undefined) ids.set(work, step.value)
      }
    expect([ids.get(one), ids.get(other)]).toEqual([bpe.encode(long), bpe.encode(word + long)])
    const messages = [{ role: 'user', content: long.slice(0, 40_000) }]
    const { steps, result } = drive(bpe.encodeChatPieces(messages))
    expect(steps).toBeGreaterThan(1)
    expect(result).toEqual(bpe.encodeChat(messages))
  })
})
