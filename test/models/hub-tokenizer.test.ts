/**
 * `tokenizer.json` of the kinds that the hub has, against the ids of Hugging Face's own tokenizers (fixtures; larger ones
 * of the same kinds gave 5,629 of 5,629 texts the same ids).
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createTokenizer } from '../../src/models/index.ts'
import type { TokenizerDefinition } from '../../src/models/index.ts'
import { hubTokenizer } from '../../src/models/readers/hub-tokenizer.ts'
import { jsonObject } from '../../src/models/readers/json-document.ts'
import { openModelFolder } from '../../src/models/readers/model-folder.ts'

interface Known {
  readonly vocabulary: number
  readonly config: object
  readonly tokenizer: Readonly<Record<string, unknown>>
  readonly ids: readonly (readonly number[])[]
}

interface Fixture extends Omit<Known, 'ids'> {
  readonly tokenizer: { readonly model: { readonly tokens: string; readonly pairs: string } }
  readonly ids: readonly string[]
}

const { texts, tokenizers: fixtures } = JSON.parse(
  readFileSync(new URL('./fixtures/hub-tokenizers.json', import.meta.url), 'utf8'),
) as { texts: string[]; tokenizers: Record<string, Fixture> }

/** Merges are texts in older files, pairs in newer ones. */
function expanded({ tokenizer, ids, ...more }: Fixture, index: number): Known {
  const { tokens, pairs, ...model } = tokenizer.model
  const vocab = Object.fromEntries(tokens.split(' ').map((token, id) => [token, id]))
  const lines = pairs.split('\n')
  const merges = index % 2 === 0 ? lines : lines.map((pair) => pair.split(' '))
  const numbers = ids.map((line) => (line === '' ? [] : line.split(' ').map(Number)))
  return { ...more, tokenizer: { ...tokenizer, model: { ...model, vocab, merges } }, ids: numbers }
}

const tokenizers: ReadonlyMap<string, Known> = new Map(
  Object.entries(fixtures).map(([name, fixture], index) => [name, expanded(fixture, index)]),
)

const base = mkdtempSync(join(tmpdir(), 'weft-hub-tokenizer-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
let count = 0

async function definition(
  files: Readonly<Record<string, unknown>>,
  rows: number,
  config: object = {},
): Promise<TokenizerDefinition> {
  const folder = join(base, String(count++))
  mkdirSync(folder)
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return hubTokenizer(await openModelFolder(folder), jsonObject(config, 'config.json'), rows)
}

const filesOf = ({ tokenizer, config }: Known): Record<string, unknown> => ({
  'tokenizer.json': tokenizer,
  'tokenizer_config.json': config,
})

describe.each([...tokenizers])('a tokenizer of the kind of %s', (_, known) => {
  it('gives the ids of the reference, and its texts back', async () => {
    // Rows beyond the tokens, as many models have them.
    const tokenizer = createTokenizer(await definition(filesOf(known), known.vocabulary + 3))
    expect(tokenizer.vocabulary).toBe(known.vocabulary + 3)
    expect(texts.map((text) => tokenizer.encode(text, { special: true }))).toEqual(known.ids)
    // Control tokens that take white space with them do not give the text back, nor does a Metaspace its first space.
    const plain = texts.filter((text) => /^[!-~][ -~]*$/.test(text) && !text.includes('<'))
    expect(plain.length).toBeGreaterThan(5)
    for (const text of plain) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
  })
})

const llama2 = tokenizers.get('llama2')!
const gpt2 = tokenizers.get('gpt2')!

describe('what stands beside tokenizer.json', () => {
  it('names the tokens that end an answer, and the template', async () => {
    const own = await definition(
      {
        ...filesOf(llama2),
        'generation_config.json': { eos_token_id: [2, 5, 9_999] },
        'chat_template.jinja': 'from the file',
        'tokenizer_config.json': { bos_token: { content: '<s>' }, eos_token: '</s>', chat_template: 'from the field' },
      },
      llama2.vocabulary,
      { eos_token_id: 7, pad_token_id: 0 },
    )
    expect(own).toMatchObject({ bos: 1, eos: 2, pad: 0, ends: [5, 7], add_bos: true, add_eos: false })
    expect(own.chat_template).toBe('from the file')
    expect([...createTokenizer(own).endTokens].toSorted((a, b) => a - b)).toEqual([2, 5, 7])
  })

  it('may be little: names from the map, the template by name, ids from the configuration', async () => {
    const own = await definition(
      {
        'tokenizer.json': llama2.tokenizer,
        'special_tokens_map.json': { eos_token: '</s>' },
        'tokenizer_config.json': {
          chat_template: [
            { name: 'tool_use', template: 'a' },
            { name: 'default', template: 'b' },
          ],
        },
      },
      llama2.vocabulary,
      { bos_token_id: 1 },
    )
    expect(own).toMatchObject({ bos: 1, eos: 2, chat_template: 'b' })
    const bare = await definition({ 'tokenizer.json': gpt2.tokenizer }, gpt2.vocabulary)
    expect(bare).toMatchObject({ bos: null, eos: null, add_bos: false, chat_template: null })
  })
})

const changed = (known: Known, at: string, value: unknown): Record<string, unknown> => {
  const [part, field] = at.split('.') as [string, string | undefined]
  const inner = field === undefined ? value : { ...(known.tokenizer[part] as object), [field]: value }
  return { ...filesOf(known), 'tokenizer.json': { ...known.tokenizer, [part]: inner } }
}
const split = (Regex: string): object => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })
const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false }
const added = (more: object): object[] => [{ id: 3, content: '<x>', special: true, ...more }]

describe('what is not understood is refused', () => {
  it.each([
    [
      'a pattern of nobody',
      changed(gpt2, 'pre_tokenizer', { type: 'Sequence', pretokenizers: [split('\\w+'), bytes] }),
      '003',
      /pre-tokenizers/,
    ],
    [
      'a space in front of byte-level texts',
      changed(gpt2, 'pre_tokenizer', { ...bytes, add_prefix_space: true }),
      '003',
      /"ByteLevel"/,
    ],
    ['whole words where the pattern has none', changed(gpt2, 'model.ignore_merges', true), '003', /"ByteLevel"/],
    ['a normaliser before bytes', changed(gpt2, 'normalizer', { type: 'Lowercase' }), '003', /"Lowercase"/],
    ['a normaliser of SentencePiece', changed(llama2, 'normalizer', { type: 'Precompiled' }), '003', /"Precompiled"/],
    ['neither bytes nor marks', changed(llama2, 'normalizer', null), '003', /not supported together/],
    [
      'a Metaspace that splits across tokens',
      changed(tokenizers.get('mistral')!, 'pre_tokenizer', { type: 'Metaspace', split: true }),
      '003',
      /splits/,
    ],
    [
      'a token in front and one more',
      changed(llama2, 'post_processor', template(['<s>', '<s>'], [])),
      '003',
      /post-processor/,
    ],
    [
      'another token behind than eos',
      changed(llama2, 'post_processor', template([], ['<s>'])),
      '003',
      /post-processor/,
    ],
    [
      'a post-processor of another kind',
      changed(llama2, 'post_processor', { type: 'BertProcessing' }),
      '003',
      /post-processor/,
    ],
    ['words', changed(gpt2, 'model.type', 'WordLevel'), '003', /"WordLevel"/],
    [
      'prefixes of subwords',
      changed(gpt2, 'model.continuing_subword_prefix', '##'),
      '003',
      /continuing_subword_prefix/,
    ],
    ['dropout', changed(gpt2, 'model.dropout', 0.1), '003', /dropout/],
    [
      'an added token that stands alone',
      changed(gpt2, 'added_tokens', added({ single_word: true })),
      '003',
      /stand alone/,
    ],
    ['an added token without text', changed(gpt2, 'added_tokens', added({ content: '' })), '005', /no text/],
    ['two tokens with one id', changed(gpt2, 'model.vocab', { a: 1, b: 1 }), '005', /two tokens have the id 1/],
    ['an id that is no number', changed(gpt2, 'model.vocab', { a: 'b' }), '002', /no number/],
    ['merges that are no pairs', changed(gpt2, 'model.merges', [['a', 'b', 'c']]), '005', /merge 0 is not a pair/],
    ['merges of tokens that are not there', changed(gpt2, 'model.merges', ['zz zz']), '005', /no token/],
    ['no vocabulary', changed(gpt2, 'model.vocab', null), '005', /no vocabulary/],
  ] as const)('%s', async (_, files, code, says) => {
    const error: unknown = await definition(files, 2_000).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toMatch(says)
    expect(error).toMatchObject({ code: `WEFT-MOD-${code}` })
  })
})

function template(before: readonly string[], after: readonly string[]): object {
  const token = (id: string): object => ({ SpecialToken: { id, type_id: 0 } })
  return { type: 'TemplateProcessing', single: [...before.map(token), { Sequence: { id: 'A' } }, ...after.map(token)] }
}
