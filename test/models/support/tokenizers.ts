/** Tokenizer definitions for tests: our own small one, made-up ones, and those of ../shared where it is. */
import { existsSync, readFileSync } from 'node:fs'
import type { TokenizerDefinition } from '../../../src/models/index.ts'
import { TOKEN_TYPE, TOKENIZER_SCHEMA } from '../../../src/models/index.ts'
import { readGguf } from '../../../src/models/readers/gguf.ts'
import { ggufTokenizer } from '../../../src/models/readers/gguf-tokenizer.ts'
import { parseLlama2cTokenizer } from '../../../src/models/readers/llama2c-tokenizer.ts'
import { metadataAccess } from '../../../src/models/readers/metadata-access.ts'
import { openFileAccess } from '../../../src/models/readers/random-access.ts'

export function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'))
}

const own = fixture('tokenizer-own') as { readonly tokens: readonly string[]; readonly merges: readonly string[] }

/** Ids 0 to 2 of the small vocabulary, beside those that a test adds. */
export const OWN_CONTROLS = ['<|end|>', '<|im_start|>', '<|im_end|>'] as const

export type Changes = Partial<TokenizerDefinition>

/** Byte-level BPE of 900 tokens, trained on Moby-Dick; `controls` and `userDefined` are added to it. */
export function ownDefinition(
  changes: Changes = {},
  added: { controls?: readonly string[]; userDefined?: readonly string[] } = {},
): TokenizerDefinition {
  const { controls = [], userDefined = [] } = added
  return {
    schema: TOKENIZER_SCHEMA,
    kind: 'bpe',
    pre: 'smollm',
    tokens: [...own.tokens, ...controls, ...userDefined],
    types: [
      ...own.tokens.map((_, id) => (id < OWN_CONTROLS.length ? TOKEN_TYPE.control : TOKEN_TYPE.normal)),
      ...controls.map(() => TOKEN_TYPE.control),
      ...userDefined.map(() => TOKEN_TYPE.userDefined),
    ],
    merges: own.merges,
    bos: null,
    eos: 2,
    unk: null,
    pad: null,
    add_bos: false,
    add_eos: false,
    add_space_prefix: false,
    chat_template: null,
    ...changes,
  }
}

/** A SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, the bytes, then `pieces`, better scores first. */
export function spmDefinition(
  pieces: readonly (readonly [string, number])[],
  changes: Changes = {},
): TokenizerDefinition {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces.map(([piece]) => piece)]
  return {
    schema: TOKENIZER_SCHEMA,
    kind: 'spm',
    pre: 'default',
    tokens,
    types: tokens.map((_, id) => {
      if (id === 0) return TOKEN_TYPE.unknown
      if (id < 3) return TOKEN_TYPE.control
      return id < 259 ? TOKEN_TYPE.byte : TOKEN_TYPE.normal
    }),
    scores: tokens.map((_, id) => pieces[id - 259]?.[1] ?? 0),
    bos: 1,
    eos: 2,
    unk: 0,
    pad: null,
    add_bos: true,
    add_eos: false,
    add_space_prefix: true,
    chat_template: null,
    ...changes,
  }
}

const SHARED_FILES = {
  gpt2: 'data/tokenizers/ggml-vocab-gpt-2.gguf',
  llama: 'data/tokenizers/ggml-vocab-llama-spm.gguf',
  smollm2: 'models/SmolLM2-135M-Instruct.Q4_1.gguf',
  tok512: 'data/llm/tok512.bin',
  'llama2-32k': 'data/tokenizers/llama2-32k-tokenizer.bin',
} as const

export type SharedTokenizer = keyof typeof SHARED_FILES

function sharedUrl(path: string): URL {
  return new URL(`../../../../shared/${path}`, import.meta.url)
}

export function hasShared(name: SharedTokenizer): boolean {
  return existsSync(sharedUrl(SHARED_FILES[name]))
}

export async function sharedDefinition(name: SharedTokenizer): Promise<TokenizerDefinition> {
  const url = sharedUrl(SHARED_FILES[name])
  if (name === 'tok512') return parseLlama2cTokenizer(readFileSync(url), 512)
  if (name === 'llama2-32k') return parseLlama2cTokenizer(readFileSync(url), 32_000)
  const access = await openFileAccess(url.pathname)
  try {
    return ggufTokenizer(metadataAccess((await readGguf(access)).metadata))
  } finally {
    await access.close()
  }
}
