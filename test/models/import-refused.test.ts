import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import { importModel, manifestFileName } from '../../src/models/index.ts'
import type { ImportNeeds } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import type { GgufSpec, KeySpec } from './support/gguf-writer.ts'
import { tinyLlama, TINY_TOKENS, withKeys } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-refused-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let home: string
let store: BlobStore
let needs: ImportNeeds
let count = 0

beforeEach(async () => {
  home = join(base, `home-${count++}`)
  store = await createBlobStore({ directory: join(home, 'store') })
  needs = { store, clock: systemClock(), directory: join(home, 'partitions'), downloads: join(home, 'downloads') }
})

function file(spec: GgufSpec | Uint8Array, name = 'model.gguf'): string {
  const path = join(home, name)
  writeFileSync(path, spec instanceof Uint8Array ? spec : writeGguf(spec))
  return path
}

async function blobs(): Promise<string[]> {
  const found: string[] = []
  for await (const { address } of store.list()) found.push(address)
  return found
}

/** A key of the sound model that is replaced, added, or (null) left out; `llama.` is understood. */
type Change = readonly [name: string, type: KeySpec['type'] | null, value?: KeySpec['value']]

function changed(...changes: readonly Change[]): GgufSpec {
  const full = (name: string): string => (/^(general|tokenizer|split)\./.test(name) ? name : `llama.${name}`)
  const entries = changes.map(([name, type, value]) => {
    const key = full(name)
    return [key, type === null ? undefined : { key, type, value: value! }] as const
  })
  return withKeys(tinyLlama(), Object.fromEntries(entries))
}

const sound = tinyLlama()
const TOKENS = 'tokenizer.ggml.tokens'
const TYPES = 'tokenizer.ggml.token_type'
const SCORES = 'tokenizer.ggml.scores'
const KIND = 'tokenizer.ggml.model'
const MERGES = 'tokenizer.ggml.merges'
const EPSILON = 'attention.layer_norm_rms_epsilon'
const KV = 'attention.head_count_kv'
const all = (value: number): number[] => TINY_TOKENS.map(() => value)

const YARN: readonly Change[] = [
  ['rope.scaling.type', 'string', 'yarn'],
  ['rope.scaling.factor', 'f32', 4],
]

/** What is wrong with the model, the model, the code and what the refusal says. */
const REFUSED: readonly (readonly [string, GgufSpec, string, RegExp])[] = [
  ['another architecture', changed(['general.architecture', 'string', 'mamba']), '003', /"mamba" is not supported/],
  ['no architecture', changed(['general.architecture', null]), '002', /general.architecture: it is missing/],
  ['one file of several', changed(['split.count', 'u16', 3]), '003', /number 1 of 3 that a model is split into/],
  ['experts', changed(['expert_count', 'u32', 8]), '003', /experts/],
  ['a scaling by length', changed(['rope.scaling.type', 'string', 'dynamic']), '003', /"dynamic"/],
  ['yarn without its factor', changed(['rope.scaling.type', 'string', 'yarn']), '002', /scaling.factor: it is missing/],
  ['yarn without its blend', changed(...YARN, ['rope.scaling.yarn_ext_factor', 'f32', 0.5]), '003', /yarn_ext_factor/],
  [
    'both halves of a layer side by side',
    changed(['use_parallel_residual', 'bool', true]),
    '003',
    /use_parallel_residual/,
  ],
  ['a scale of logits', changed(['logit_scale', 'f32', 8]), '003', /logit_scale/],
  ['no width', changed(['embedding_length', null]), '002', /embedding_length: it is missing/],
  ['a width of another type', changed(['embedding_length', 'string', '64']), '002', /it is string, not/],
  ['no layers', changed(['block_count', 'u32', 0]), '002', /0 is not in 1 to/],
  ['four billion layers', changed(['block_count', 'u32', 4e9]), '002', /4000000000 is not in/],
  ['a layer too many', changed(['block_count', 'u32', 3]), '002', /blk.2.attn_norm.weight: the tensor is missing/],
  ['a layer too few', changed(['block_count', 'u32', 1]), '003', /such tensors are not supported/],
  ['heads that do not share keys evenly', changed([KV, 'u32', 3]), '002', /3 do not divide 4/],
  ['an odd rotation', changed(['rope.dimension_count', 'u32', 7]), '002', /7 is odd/],
  ['a rotation over the head', changed(['rope.dimension_count', 'u32', 18]), '002', /18 is not in 2 to 16/],
  ['values of another length', changed(['attention.value_length', 'u32', 8]), '003', /different lengths/],
  ['an epsilon that is not a number', changed([EPSILON, 'f32', Number.NaN]), '002', /NaN is not in/],
  ['sizes for each layer', changed(['feed_forward_length', 'u32', [96, 96]]), '002', /it is numbers, not/],
  ['a width that its tensors do not have', changed(['feed_forward_length', 'u32', 97]), '002', /not \[97, 64\]/],
  ['biases of norms', withTensor('blk.0.attn_norm.bias'), '003', /biases are not supported/],
  ['a bias in one layer alone', withTensor('blk.0.attn_q.bias'), '002', /blk.[01].attn_q.bias/],
  ['a tensor of another graph', withTensor('blk.0.attn_q_norm.weight'), '003', /such tensors are not supported/],
  ['no embedding', { ...sound, tensors: sound.tensors.slice(1) }, '002', /token_embd.weight: the tensor is missing/],
  ['no tokenizer', changed([KIND, null]), '005', /no tokenizer/],
  ['another kind of tokenizer', changed([KIND, 'string', 'bert']), '003', /"bert"/],
  ['no tokens', changed([TOKENS, null]), '005', /tokens is missing/],
  ['tokens that are numbers', changed([TOKENS, 'u8', all(1)]), '002', /it is numbers, not strings/],
  ['fewer tokens than rows', fewerTokens(), '002', /263 tokens for 264 rows/],
  ['a byte token with a sign', tokens(TINY_TOKENS.with(10, '<0x-1>')), '005', /"<0x-1>", is to be a byte/],
  ['a byte token that is no number', tokens(TINY_TOKENS.with(10, '<0xZZ>')), '005', /"<0xZZ>", is to be a byte/],
  ['a byte that is missing', tokens(TINY_TOKENS.with(10, '<0x00>')), '005', /255 of 256 byte tokens/],
  ['no scores', changed([SCORES, null]), '005', /no scores/],
  ['a score that is not a number', changed([SCORES, 'f32', all(Number.NaN)]), '005', /score of token 0/],
  ['an end token that is none', changed(['tokenizer.ggml.eos_token_id', 'u32', 264]), '002', /264 is not in 0 to 263/],
  ['a token type that does not exist', changed([TYPES, 'i32', all(9)]), '005', /type 9/],
  ['types for other tokens', changed([TYPES, 'i32', [1, 2]]), '005', /264 tokens and 2 token types/],
  ['no merges', changed([KIND, 'string', 'gpt2']), '005', /no merges/],
  ['merges of tokens that are not there', merges('a b', 'ab q'), '005', /merge 1 speaks of "q"/],
  ['merges that are no pairs', merges('ab'), '005', /merge 0 is not a pair/],
  [
    'a template of 300 KB',
    changed(['tokenizer.chat_template', 'string', 'x'.repeat(300_000)]),
    '005',
    /300000 characters/,
  ],
]

function withTensor(name: string): GgufSpec {
  return { ...sound, tensors: [...sound.tensors, { name, shape: [64], type: 'F32' }] }
}

function tokens(list: readonly string[]): GgufSpec {
  return changed([TOKENS, 'string', list])
}

function fewerTokens(): GgufSpec {
  const list = TINY_TOKENS.slice(0, -1)
  const types = list.map((_, id) => (id < 3 ? 3 : id < 259 ? 6 : 1))
  return changed([TOKENS, 'string', list], [TYPES, 'i32', types], [SCORES, 'f32', types])
}

function merges(...list: readonly string[]): GgufSpec {
  return changed([KIND, 'string', 'gpt2'], [MERGES, 'string', list])
}

describe('a model that weft cannot run', () => {
  it.each(REFUSED)('is refused with a code and leaves nothing: %s', async (_, spec, code, says) => {
    const error = await importModel(needs, { source: file(spec) }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).message).toMatch(says)
    expect(error).toMatchObject({ code: `WEFT-MOD-${code}` })
    expect(await blobs()).toEqual([])
    expect(existsSync(needs.directory)).toBe(false)
  })

  it.each([
    [
      'a safetensors file',
      Buffer.from('\u0010\0\0\0\0\0\0\0{"a":1}         data'),
      'm',
      /safetensors file alone is no model/,
    ],
    [
      'some other file',
      Buffer.from('#!/bin/sh\necho this is no model at all, whatever its name says\n'),
      'm.gguf',
      /no GGUF file/,
    ],
    ['a short file', Uint8Array.of(1, 2), 'm.bin', /no model file/],
  ] as const)('is refused by what it is, not by its name: %s', async (_, bytes, name, says) => {
    const error = await importModel(needs, { source: file(bytes, name) }).catch((thrown: unknown) => thrown)
    expect((error as WeftError).message).toMatch(says)
    expect((error as WeftError).code).toMatch(/^WEFT-MOD-00[23]$/)
  })

  it('is refused with the place where it breaks: an ONNX file', async () => {
    const bytes = Uint8Array.of(8, 10, 18, 7, 112, 121, 116, 111, 114, 99, 104, 1, 2, 3, 4, 5)
    const error = await importModel(needs, { source: file(bytes, 'm'), name: 'x' }).catch((thrown: unknown) => thrown)
    expect((error as WeftError).message).toMatch(/^malformed ONNX file: .* byte 11/)
    expect((error as WeftError).code).toMatch(/^WEFT-INF-06\d$/)
  })

  it('is refused when it is a folder, is not there, or has a name that cannot be', async () => {
    mkdirSync(join(home, 'folder'))
    await expect(importModel(needs, { source: join(home, 'folder') })).rejects.toMatchObject({ code: 'WEFT-MOD-003' })
    await expect(importModel(needs, { source: join(home, 'none.gguf') })).rejects.toMatchObject({
      code: 'WEFT-MOD-012',
    })
    for (const name of ['', 'Upper', '../up', 'a:b:c', ':b', 'x'.repeat(129)]) {
      await expect(importModel(needs, { source: file(tinyLlama()), name })).rejects.toMatchObject({
        code: 'WEFT-MOD-007',
      })
    }
    expect(() => manifestFileName('../x')).toThrow(/not a model name/)
    expect(manifestFileName('smollm2:135m')).toBe('smollm2@135m.json')
  })
})
