import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { TOKEN_TYPE } from '../../src/models/index.ts'
import { openModel } from '../../src/models/readers/open-model.ts'
import { parseLlama2cTokenizer } from '../../src/models/readers/llama2c-tokenizer.ts'
import { readLlama2c } from '../../src/models/readers/llama2c.ts'
import { memoryAccess } from '../../src/models/readers/random-access.ts'
import { llama2cTokenizer } from './support/llama2c-writer.ts'
import { TINY_TOKENS } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-llama2c-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const HEADER = { dim: 8, hidden: 12, layers: 2, heads: 2, kv: 1, vocabulary: TINY_TOKENS.length, context: 16 }

/** A checkpoint whose float at index n is n. */
function checkpoint(changes: Partial<typeof HEADER> = {}, extra = 0): Uint8Array {
  const h = { ...HEADER, ...changes }
  const size = Math.abs(h.vocabulary)
  const kvDim = (HEADER.dim / HEADER.heads) * HEADER.kv
  const layer = 2 * h.dim + 2 * h.dim * h.dim + 2 * h.dim * kvDim + 3 * h.dim * h.hidden
  const floats =
    size * h.dim * (h.vocabulary < 0 ? 2 : 1) + HEADER.layers * layer + h.dim + h.context * Math.floor(h.dim / h.heads)
  const bytes = new Uint8Array(28 + 4 * Math.min(floats, 100_000) + extra)
  const view = new DataView(bytes.buffer)
  Object.values(h).forEach((value, index) => view.setInt32(4 * index, value, true))
  for (let n = 0; n < Math.min(floats, 100_000); n++) view.setFloat32(28 + 4 * n, n, true)
  return bytes
}

const tokenizerFile = (pieces: readonly string[] = TINY_TOKENS): Uint8Array => llama2cTokenizer(pieces)

const definition = () => Promise.resolve(parseLlama2cTokenizer(tokenizerFile(), TINY_TOKENS.length))

describe('readLlama2c', () => {
  it('finds each tensor where the format has it', async () => {
    const access = memoryAccess(checkpoint())
    const { tensors, shape } = await readLlama2c(access, definition)
    const first = async (name: string): Promise<number> => {
      const bytes = await access.read(tensors.get(name)!.offset, 4)
      return new DataView(bytes.buffer).getFloat32(0, true)
    }
    let at = 0
    const next = (elements: number): number => (at += elements) - elements
    const v = TINY_TOKENS.length
    const order: [string, number, number][] = [
      ['attn_norm', 8, 2],
      ['attn_q', 64, 2],
      ['attn_k', 32, 2],
      ['attn_v', 32, 2],
      ['attn_output', 64, 2],
      ['ffn_norm', 8, 2],
      ['ffn_gate', 96, 2],
      ['ffn_down', 96, 2],
      ['ffn_up', 96, 2],
    ]
    expect(await first('token_embd.weight')).toBe(next(v * 8))
    for (const [part, elements] of order) {
      expect(await first(`blk.0.${part}.weight`)).toBe(next(elements))
      expect(await first(`blk.1.${part}.weight`)).toBe(next(elements))
    }
    expect(await first('output_norm.weight')).toBe(next(8))
    expect(tensors.has('output.weight')).toBe(false)
    expect(shape).toMatchObject({
      rope_interleaved: true,
      rope_base: 10_000,
      head_dim: 4,
      kv_heads: 1,
      norm_epsilon: 1e-5,
    })
  })

  it('takes a classifier of its own, after the tables of cosines and sines', async () => {
    const access = memoryAccess(checkpoint({ vocabulary: -TINY_TOKENS.length }))
    const { tensors } = await readLlama2c(access, definition)
    const output = tensors.get('output.weight')!
    expect(output.offset + output.bytes).toBe(access.size)
    expect(output.offset).toBe(tensors.get('output_norm.weight')!.offset + 32 + 16 * 4 * 4)
  })

  it.each([
    ['a byte too many', checkpoint({}, 1), /asks for/],
    ['a byte too few', checkpoint().subarray(0, -1), /asks for/],
    ['no dimensions', checkpoint({ dim: 0 }), /dim: 0/],
    ['a negative size', checkpoint({ hidden: -1 }), /hidden_dim: -1/],
    ['two billion layers', checkpoint({ layers: 2 ** 31 - 1 }), /n_layers/],
    ['heads that do not divide', checkpoint({ heads: 3 }), /do not divide/],
    ['more keys than heads', checkpoint({ kv: 3 }), /n_kv_heads/],
    ['no vocabulary', checkpoint({ vocabulary: 0 }), /vocab_size/],
    ['the smallest integer for a vocabulary', checkpoint({ vocabulary: -(2 ** 31) }), /vocab_size/],
    [
      'a newer version',
      Uint8Array.from(checkpoint(), (byte, at) => [0x32, 0x34, 0x6b, 0x61][at] ?? byte),
      /version 1 and 2/,
    ],
  ])('refuses %s', async (_, bytes, says) => {
    await expect(readLlama2c(memoryAccess(Uint8Array.from(bytes)), definition)).rejects.toThrow(says)
  })
})

describe('a tokenizer of llama2.c', () => {
  it('gets the spelling and the types of GGUF', () => {
    const tokenizer = parseLlama2cTokenizer(tokenizerFile(), TINY_TOKENS.length)
    expect(tokenizer.tokens).toEqual(TINY_TOKENS)
    expect(tokenizer.scores![7]).toBe(-7)
    expect([0, 1, 2, 3, 258, 259].map((id) => tokenizer.types[id])).toEqual([
      TOKEN_TYPE.unknown,
      TOKEN_TYPE.control,
      TOKEN_TYPE.control,
      TOKEN_TYPE.byte,
      TOKEN_TYPE.byte,
      TOKEN_TYPE.normal,
    ])
    expect(tokenizer).toMatchObject({ kind: 'spm', bos: 1, eos: 2, eot: 1, add_bos: true, add_space_prefix: true })
  })

  it.each([
    ['one token too few', tokenizerFile(TINY_TOKENS.slice(0, -1)), /ends after 263 tokens/],
    ['one token too many', tokenizerFile([...TINY_TOKENS, 'x']), /more than 264/],
    ['a piece that is cut', tokenizerFile().subarray(0, -1), /ends after/],
    ['a negative length', Buffer.concat([Buffer.alloc(8), Buffer.from([255, 255, 255, 255])]), /length of -1/],
    ['nothing', new Uint8Array(0), /ends after 0/],
    ['bytes that are missing', tokenizerFile(TINY_TOKENS.with(40, 'zz')), /255 of 256/],
  ])('is refused with %s', (_, bytes, says) => {
    expect(() => parseLlama2cTokenizer(bytes, TINY_TOKENS.length)).toThrow(says)
  })

  it('is found beside the model by its count, or where it is named', async () => {
    const model = join(base, 'model.bin')
    writeFileSync(model, checkpoint())
    await expect(openModel(model)).rejects.toMatchObject({ code: 'WEFT-MOD-005' })
    writeFileSync(join(base, 'tok1.bin'), tokenizerFile(TINY_TOKENS.slice(0, -1)))
    await expect(openModel(model)).rejects.toMatchObject({ why: expect.stringContaining('tok1.bin') as string })
    writeFileSync(join(base, 'tokenizer.bin'), tokenizerFile())
    const found = await openModel(model)
    await found.access.close()
    expect(found.model.tokenizer.tokens).toEqual(TINY_TOKENS)
    rmSync(join(base, 'tokenizer.bin'))
    const elsewhere = join(base, 'other-name')
    writeFileSync(elsewhere, tokenizerFile())
    const named = await openModel(model, elsewhere)
    await named.access.close()
    expect(named.model.shape.vocabulary).toBe(264)
  })
})

const SHARED = new URL('../../../shared/data/llm/', import.meta.url)

describe.skipIf(!existsSync(SHARED))('stories260K (skipped: ../shared/data/llm is not there)', () => {
  it('is read with its tokenizer', async () => {
    for (const name of ['stories260K.bin', 'tok512.bin']) copyFileSync(new URL(name, SHARED), join(base, name))
    const { model, access } = await openModel(join(base, 'stories260K.bin'))
    expect(model.shape).toMatchObject({
      layers: 5,
      width: 64,
      hidden: 172,
      heads: 8,
      kv_heads: 4,
      vocabulary: 512,
      context: 512,
    })
    const norm = await access.read(model.tensors.get('output_norm.weight')!.offset, 256)
    const values = new Float32Array(norm.buffer)
    expect(values.every((value) => value > 0 && value < 20)).toBe(true)
    expect(model.tokenizer.tokens.slice(259, 263)).toEqual(['\u2581t', 'he', '\u2581a', '\u2581s'])
    expect(readFileSync(join(base, 'tok512.bin')).length).toBe(6227)
    await access.close()
  })
})
