/**
 * Language models that nobody trained, as GGUF files: a header as real ones have it, and blocks of random integers with
 * scales that keep what goes through them near one.
 */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { SOURCE_TYPES, sourceBytes } from '../../src/models/index.ts'
import { floatsToHalves } from '../../src/models/dequantize/index.ts'
import type { SourceType } from '../../src/models/index.ts'
import { writeGguf } from '../../test/models/support/gguf-writer.ts'
import type { GgufSpec, KeySpec, TensorSpec } from '../../test/models/support/gguf-writer.ts'

export interface MadeUpShape {
  readonly layers: number
  readonly width: number
  readonly hidden: number
  readonly heads: number
  readonly kvHeads: number
  readonly vocabulary: number
  readonly context: number
  /** Of the matrices whose name it takes; the embedding is the head too. */
  readonly type: (tensor: string) => SourceType
}

/** As Llama 3.2 1B is made. */
export const LLAMA_1B = {
  layers: 16,
  width: 2048,
  hidden: 8192,
  heads: 32,
  kvHeads: 8,
  vocabulary: 128_256,
  context: 131_072,
} as const

/** As TinyLlama 1.1B is made. */
export const TINY_LLAMA = {
  layers: 22,
  width: 2048,
  hidden: 5632,
  heads: 32,
  kvHeads: 4,
  vocabulary: 32_000,
  context: 2048,
} as const

/** As Llama 3.3 70B is made. */
export const LLAMA_70B = { ...LLAMA_1B, layers: 80, width: 8192, hidden: 28_672, heads: 64 } as const

const ALIGNMENT = 32
/** Random bytes that tensors are cut from, each at another place. */
const POOL_BYTES = 8 << 20
const WRITE_BYTES = 4 << 20

/** The file without its data region, and where the data of its tensors goes. */
interface Laid {
  readonly header: Uint8Array
  readonly tensors: readonly { readonly type: SourceType; readonly offset: number; readonly bytes: number }[]
  readonly size: number
}

/**
 * Writes such a file.
 * @param sparse the data region is a hole: zeros that take no room on the disk
 * @returns its size in bytes
 */
export async function writeMadeUp(path: string, shape: MadeUpShape, sparse = false): Promise<number> {
  const { header, tensors, size } = layOut(shape)
  const file = await open(path, 'w')
  try {
    await file.write(header, 0, header.length, 0)
    await file.truncate(size)
    if (sparse) return size
    const pools = new Map<SourceType, Uint8Array>()
    for (const [index, { type, offset, bytes }] of tensors.entries()) {
      const pool = pools.get(type) ?? randomPool(type, shape.width)
      pools.set(type, pool)
      await fill(file, pool, SOURCE_TYPES[type].bytes, index, offset, bytes)
    }
    await file.sync()
    return size
  } finally {
    await file.close()
  }
}

async function fill(
  file: FileHandle,
  pool: Uint8Array,
  block: number,
  index: number,
  offset: number,
  bytes: number,
): Promise<void> {
  let from = ((index * 7919 + 1) * block) % (pool.length / 2)
  from -= from % block
  for (let at = 0; at < bytes;) {
    const length = Math.min(WRITE_BYTES, bytes - at, pool.length - from)
    await file.write(pool, from, length, offset + at)
    at += length
    from = (from + length) % pool.length
  }
}

/** Whole blocks; float32 is what norms are made of. */
function randomPool(type: SourceType, width: number): Uint8Array {
  const { bytes: block, block: elements } = SOURCE_TYPES[type]
  const pool = new Uint8Array(Math.floor(POOL_BYTES / block) * block)
  if (type === 'F32') {
    new Float32Array(pool.buffer).fill(1)
    return pool
  }
  const words = new Uint32Array(pool.buffer, 0, Math.floor(pool.length / 4))
  let state = 1
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[at] = state ^ (state >>> 15)
  }
  // Uniform integers of so many bits have this deviation; a matrix of so many inputs keeps the size of what it is given.
  const deviation = 2 ** (((block - 2) * 8) / elements) / Math.sqrt(12)
  const scales = floatsToHalves(
    Float32Array.from({ length: 64 }, (_, at) => (0.5 + at / 64) / (deviation * Math.sqrt(width))),
  )
  for (let at = 0, index = 0; at < pool.length; at += block, index++) {
    const scale = scales[(index * 37) % 64]!
    pool[at] = scale & 255
    pool[at + 1] = scale >> 8
  }
  return pool
}

function layOut(shape: MadeUpShape): Laid {
  const specs = tensorsOf(shape)
  let size = 0
  const placed = specs.map(({ shape: dims, type }) => {
    const bytes = sourceBytes(
      type,
      dims.reduce((product, one) => product * one, 1),
    )
    const offset = size
    size += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
    return { type, offset, bytes }
  })
  const nothing = new Uint8Array(0)
  const spec: GgufSpec = {
    keys: [...shapeKeys(shape), ...tokenizerKeys(shape.vocabulary)],
    tensors: specs.map((tensor, at): TensorSpec => ({
      ...tensor,
      offset: BigInt(placed[at]!.offset),
      data: nothing,
    })),
    alignment: ALIGNMENT,
  }
  const header = writeGguf(spec)
  const tensors = placed.map((each) => ({ ...each, offset: header.length + each.offset }))
  return { header, tensors, size: header.length + size }
}

function tensorsOf(shape: MadeUpShape): { name: string; shape: number[]; type: SourceType }[] {
  const { layers, width, hidden, heads, kvHeads, vocabulary, type } = shape
  const kv = (width / heads) * kvHeads
  const matrix = (
    name: string,
    dims: number[],
    layer?: number,
  ): { name: string; shape: number[]; type: SourceType } => ({
    name: layer === undefined ? `${name}.weight` : `blk.${layer}.${name}.weight`,
    shape: dims,
    type: dims.length === 1 ? 'F32' : type(name),
  })
  const all = [matrix('token_embd', [vocabulary, width])]
  for (let layer = 0; layer < layers; layer++) {
    all.push(
      matrix('attn_norm', [width], layer),
      matrix('attn_q', [width, width], layer),
      matrix('attn_k', [kv, width], layer),
      matrix('attn_v', [kv, width], layer),
      matrix('attn_output', [width, width], layer),
      matrix('ffn_norm', [width], layer),
      matrix('ffn_gate', [hidden, width], layer),
      matrix('ffn_up', [hidden, width], layer),
      matrix('ffn_down', [width, hidden], layer),
    )
  }
  return [...all, matrix('output_norm', [width])]
}

function shapeKeys({ layers, width, hidden, heads, kvHeads, context }: MadeUpShape): KeySpec[] {
  const number = (key: string, value: number): KeySpec => ({ key: `llama.${key}`, type: 'u32', value })
  return [
    { key: 'general.architecture', type: 'string', value: 'llama' },
    { key: 'general.license', type: 'string', value: 'cc0-1.0' },
    number('block_count', layers),
    number('context_length', context),
    number('embedding_length', width),
    number('feed_forward_length', hidden),
    number('attention.head_count', heads),
    number('attention.head_count_kv', kvHeads),
    { key: 'llama.attention.layer_norm_rms_epsilon', type: 'f32', value: 1e-5 },
    { key: 'llama.rope.freq_base', type: 'f32', value: 500_000 },
  ]
}

/** A SentencePiece vocabulary: unknown, begin, end, all bytes, and words that no text has. */
function tokenizerKeys(vocabulary: number): KeySpec[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const known = ['<unk>', '<s>', '</s>', ...bytes, '\u2581']
  const tokens = [
    ...known,
    ...Array.from({ length: vocabulary - known.length }, (_, word) => `\u2581word${word.toString(36)}`),
  ]
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'llama' },
    { key: 'tokenizer.ggml.tokens', type: 'string', value: tokens },
    { key: 'tokenizer.ggml.scores', type: 'f32', value: tokens.map((_, id) => -id) },
    { key: 'tokenizer.ggml.token_type', type: 'i32', value: types },
    { key: 'tokenizer.ggml.bos_token_id', type: 'u32', value: 1 },
    { key: 'tokenizer.ggml.eos_token_id', type: 'u32', value: 2 },
  ]
}
