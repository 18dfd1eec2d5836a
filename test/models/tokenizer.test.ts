import { describe, expect, it } from 'vitest'
import {
  createTokenizer,
  TOKEN_TYPE,
  TokenizerDefinitionError,
  UnknownPreTokenizerError,
  UnknownTokenError,
} from '../../src/models/index.ts'
import type { TokenizerDefinition } from '../../src/models/index.ts'
import { ownDefinition, spmDefinition } from './support/tokenizers.ts'

describe('special tokens', () => {
  const tokenizer = createTokenizer(
    ownDefinition({}, { controls: ['<a>', '<a><b>', 'x<a'], userDefined: ['[U]', '[U]x'] }),
  )
  const id = (text: string): number => tokenizer.encode(text, { special: true })[0] ?? -1

  it('are parsed only where that is asked for', () => {
    expect(tokenizer.encode('<|im_end|>', { special: true })).toEqual([2])
    expect(tokenizer.encode('<|im_end|>').length).toBeGreaterThan(3)
    expect(tokenizer.decode(tokenizer.encode('<|im_end|>'))).toBe('<|im_end|>')
  })

  it('that users have defined are parsed always', () => {
    expect(tokenizer.encode('[U]')).toEqual([id('[U]')])
    expect(tokenizer.encode('[U]x')).toEqual([id('[U]x')])
    expect(tokenizer.decode(tokenizer.encode('a[U]xb'))).toBe('a[U]xb')
  })

  it('take their places by length, the longest first, then from the left', () => {
    expect(tokenizer.encode('<a><a><b>', { special: true })).toEqual([id('<a>'), id('<a><b>')])
    // The longer token wins although another begins before it.
    expect(tokenizer.encode('x<a><b>', { special: true })).toEqual([...tokenizer.encode('x'), id('<a><b>')])
    expect(tokenizer.encode('x<a>', { special: true })).toHaveLength(2)
  })

  it('fall back to a shorter token where a longer one is blocked', () => {
    const nested = createTokenizer(ownDefinition({ merges: [] }, { controls: ['qz', 'qzx', 'xjkw'] }))
    const find = (text: string): string => {
      const ids = nested.encode(text, { special: true })
      return ids.map((one) => nested.decode([one], { special: true })).join(' ')
    }
    expect(find('qzxjkw')).toBe('qz xjkw')
    expect(find('qzxqz')).toBe('qzx qz')
    expect(find('zxjk')).toBe('z x j k')
  })

  it('show their text only where that is asked for', () => {
    expect(tokenizer.decode([1, 2])).toBe('')
    expect(tokenizer.decode([1, 2], { special: true })).toBe('<|im_start|><|im_end|>')
    expect(tokenizer.bytes(2)).toEqual(new Uint8Array(0))
    expect(Buffer.from(tokenizer.bytes(2, { special: true })).toString()).toBe('<|im_end|>')
  })

  it('put a SentencePiece prefix space before the text that follows them', () => {
    const spm = createTokenizer(
      spmDefinition([
        ['\u2581', -3],
        ['a', -2],
        ['\u2581a', -1],
      ]),
    )
    expect(spm.encode('a</s>a', { special: true })).toEqual([1, 261, 2, 261])
    expect(spm.encode('a</s>', { special: true, addBos: false })).toEqual([261, 2])
  })
})

describe('what stands around a text', () => {
  const definition = ownDefinition({ bos: 1, add_bos: true, add_eos: true })
  const tokenizer = createTokenizer(definition)

  it('is as the model wants it unless asked otherwise', () => {
    const text = tokenizer.encode('hi', { addBos: false, addEos: false })
    expect(tokenizer.encode('hi')).toEqual([1, ...text, 2])
    expect(tokenizer.encode('hi', { addBos: false })).toEqual([...text, 2])
    expect(createTokenizer(ownDefinition({ bos: 1 })).encode('hi', { addBos: true })).toEqual([1, ...text])
    expect(tokenizer.encode('')).toEqual([1, 2])
    expect(createTokenizer(ownDefinition()).encode('')).toEqual([])
  })

  it('is a space in SentencePiece, which goes away again after bos only', () => {
    const spm = createTokenizer(
      spmDefinition([
        ['\u2581', -3],
        ['a', -2],
        ['\u2581a', -1],
      ]),
    )
    const ids = spm.encode('a a')
    expect(ids).toEqual([1, 261, 261])
    expect(spm.decode(ids)).toBe('a a')
    expect(spm.decode(ids.slice(1))).toBe(' a a')
  })

  it('ends an answer at eos, eot and the tokens that end a turn', () => {
    const ends = createTokenizer(ownDefinition({ eos: 1, eot: 0 }, { controls: ['<|eot_id|>', '<x>'] })).endTokens
    const size = ownDefinition().tokens.length
    expect([...ends].toSorted((a, b) => a - b)).toEqual([0, 1, 2, size])
  })
})

describe('unusual text', () => {
  const tokenizer = createTokenizer(ownDefinition())

  it('with unpaired surrogates counts as text with U+FFFD', () => {
    expect(tokenizer.encode('a\ud83dx\udc00')).toEqual(tokenizer.encode('a\ufffdx\ufffd'))
  })

  it('keeps a byte order mark and NUL', () => {
    expect(tokenizer.decode(tokenizer.encode('\ufeffa\u0000'))).toBe('\ufeffa\u0000')
  })

  it('of one unending word does not hang', () => {
    const spm = createTokenizer(
      spmDefinition([
        ['\u2581', -4],
        ['a', -2],
        ['aa', -1],
        ['aaaa', -0.5],
        ['a\u2581', -9],
      ]),
    )
    for (const one of [tokenizer, spm]) {
      for (const unit of ['a', ' ', '\n', '\u4f60', '-', '<|im_end|>']) {
        const text = unit.repeat(Math.floor(50_000 / unit.length))
        expect(one.decode(one.encode(text)) === text).toBe(true)
        expect(one.encode(text, { special: true }).length).toBeGreaterThan(0)
      }
    }
  })

  it('leaves bytes without a token out, as the reference does, or makes them unk where that is no control token', () => {
    const base = ownDefinition()
    // 0x04 is the character U+0104 of the byte alphabet.
    const tokens = base.tokens.map((token) => (token === '\u0104' ? 'unknown' : token))
    const at = tokens.indexOf('unknown')
    expect(at).toBeGreaterThan(0)
    const without = createTokenizer({ ...base, tokens })
    expect(without.encode('a\u0004b')).toEqual([...without.encode('a'), ...without.encode('b')])
    const types = base.types.map((type, id) => (id === at ? TOKEN_TYPE.unknown : type))
    expect(createTokenizer({ ...base, tokens, types, unk: 2 }).encode('\u0004')).toEqual([])
    const normal = createTokenizer({ ...base, tokens, unk: at })
    expect(normal.encode('\u0004')).toEqual([at])
  })

  it('becomes one unknown token in SentencePiece without bytes', () => {
    const definition: TokenizerDefinition = {
      ...spmDefinition([]),
      tokens: ['<unk>', '<s>', '</s>', '\u2581', 'a'],
      types: [2, 3, 3, 1, 1],
      scores: [0, 0, 0, -1, -2],
    }
    expect(createTokenizer(definition).encode('a\u4f60\u597da?')).toEqual([1, 3, 4, 0, 4, 0])
  })
})

describe('a token id out of range', () => {
  const tokenizer = createTokenizer(ownDefinition())
  it.each([-1, 1.5, Number.NaN, 1e9, 900])('is refused: %s', (id) => {
    expect(() => tokenizer.decode([id])).toThrow(UnknownTokenError)
    expect(() => tokenizer.bytes(id)).toThrow(UnknownTokenError)
    expect(() => tokenizer.stream().push(id)).toThrow(UnknownTokenError)
  })
})

describe('a tokenizer that cannot be used', () => {
  const bpe = ownDefinition()
  const spm = spmDefinition([['a', -1]])
  const without = (definition: TokenizerDefinition, key: keyof TokenizerDefinition): TokenizerDefinition => {
    const { [key]: _gone, ...rest } = definition
    return rest as TokenizerDefinition
  }
  const cases: readonly (readonly [string, TokenizerDefinition, RegExp])[] = [
    ['no tokens', { ...bpe, tokens: [], types: [] }, /0 tokens/],
    ['too few types', { ...bpe, types: bpe.types.slice(1) }, /899 token types/],
    ['a type that does not exist', { ...bpe, types: bpe.types.map((type, id) => (id === 7 ? 9 : type)) }, /token 7/],
    ['no merges', without(bpe, 'merges'), /no list of merges/],
    ['a merge of one token', { ...bpe, merges: ['ab'] }, /merge 0/],
    ['a merge that lacks its product', { ...bpe, merges: ['q z'] }, /"qz", which is missing/],
    ['a merge that lacks a part', { ...bpe, merges: ['\u4f60 a'] }, /which is missing/],
    ['no token for a letter', { ...bpe, merges: [], tokens: bpe.tokens.map((t) => (t === 'z' ? 'zz!' : t)) }, /0x7a/],
    ['bos out of range', { ...bpe, bos: 900 }, /bos is token 900/],
    ['eos that is no whole number', { ...bpe, eos: 0.5 }, /eos/],
    ['bos asked for but missing', { ...bpe, add_bos: true }, /no bos/],
    ['eos asked for but missing', { ...bpe, eos: null, add_eos: true }, /no eos/],
    ['a token without end', { ...bpe, tokens: ['x'.repeat(5000), ...bpe.tokens.slice(1)] }, /token 0/],
    ['a special token without end', { ...bpe, tokens: ['x'.repeat(300), ...bpe.tokens.slice(1)] }, /special token 0/],
    ['no scores', without(spm, 'scores'), /no scores/],
    ['a score that is no number', { ...spm, scores: spm.tokens.map(() => Number.NaN) }, /score of token 0/],
    ['a byte with a sign', { ...spm, tokens: spm.tokens.map((t, i) => (i === 3 ? '<0x-1>' : t)) }, /token 3 is a byte/],
    [
      'a byte less',
      { ...spm, types: spm.types.map((type, id) => (id === 68 ? TOKEN_TYPE.normal : type)) },
      /1 of its 256/,
    ],
    [
      'neither bytes nor unk',
      { ...spm, unk: null, types: spm.types.map((type) => (type === TOKEN_TYPE.byte ? TOKEN_TYPE.normal : type)) },
      /neither byte tokens/,
    ],
  ]
  it.each(cases)('is refused with what is wrong: %s', (_name, definition, message) => {
    expect(() => createTokenizer(definition)).toThrow(TokenizerDefinitionError)
    expect(() => createTokenizer(definition)).toThrow(message)
  })

  it('has a pre-tokenizer that nobody knows', () => {
    expect(() => createTokenizer({ ...bpe, pre: 'llama-9' })).toThrow(UnknownPreTokenizerError)
    expect(() => createTokenizer({ ...bpe, pre: 'llama-9' })).toThrow(/"llama-9"/)
  })

  it('does not let a merge make a control token', () => {
    const definition = ownDefinition({ merges: ['q z'] }, { controls: ['qz'] })
    expect(createTokenizer(definition).encode('qz')).toHaveLength(2)
  })
})
