/** Vectors from a peer: the same bits alone and among others, on a host that stays; what is refused before it runs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pooledVector } from '../../src/models/index.ts'
import type { EncoderText } from '../../src/models/index.ts'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { CONTEXT, VOCABULARY, WIDTH, writeEncoderFolder } from '../models/support/tiny-encoder.ts'
import { isWhole } from '../whole.ts'
import { GREEDY } from '../../src/pipeline/index.ts'

let base: string
let peer: LocalPeer
const TEXTS = ['the sea is blue', 'dog', 'The ocean, is it blue? 42!', 'dog', '\u4f60\u4f60 swims']

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'weft-embed-'))
  peer = await createPeer({ home: join(base, 'home'), offline: true, lan: 'off', logLevel: 'error', threads: 1 })
  await peer.importModel({ source: await writeEncoderFolder(join(base, 'encoder'), { types: true }) })
})
afterAll(async () => {
  await peer.stop()
  await rm(base, { recursive: true, force: true })
})

const bits = (vectors: readonly Float32Array[]): string[] =>
  vectors.map((vector) => Buffer.from(vector.buffer).toString('hex'))
const counter = (name: string): number => peer.status().counters[name]!

describe('vectors of texts', () => {
  it('have the same bits alone, among others and the second time; equal texts run once, all on one host', async () => {
    const all = await peer.embed('encoder', TEXTS)
    expect(all.vectors.map(({ length }) => length)).toEqual(TEXTS.map(() => WIDTH))
    expect(all.stats.counters).toMatchObject({ texts: 5, runs: 4 })
    expect(all.route).toMatchObject([{ peer: peer.id, from: 0 }])
    const runs = counter('graph_runs')
    for (const [index, text] of TEXTS.entries()) {
      const one = await peer.embed('encoder', [text])
      expect(bits(one.vectors)).toEqual([bits(all.vectors)[index]])
      expect(one.route).toEqual(all.route)
    }
    expect(counter('graph_runs') - runs).toBe(TEXTS.length)
    expect(counter('graph_stages_loaded')).toBe(1)
    expect(bits((await peer.embed('encoder', TEXTS.toReversed())).vectors)).toEqual(bits(all.vectors).toReversed())
    expect(new Set(bits(all.vectors)).size).toBe(4)
  })

  it('have a length of 1, cut to fewer dimensions too, and are what the rows of the graph make', async () => {
    const { vectors, tokens } = await peer.embed('encoder', TEXTS)
    const length = (vector: Float32Array): number => Math.hypot(...vector)
    for (const vector of vectors) expect(length(vector)).toBeCloseTo(1, 6)
    const short = await peer.embed('encoder', TEXTS, { dimensions: 5 })
    for (const [index, vector] of short.vectors.entries()) {
      expect(vector.length).toBe(5)
      expect(length(vector)).toBeCloseTo(1, 6)
      const whole = vectors[index]!.subarray(0, 5)
      for (const [at, value] of vector.entries()) expect(value).toBeCloseTo(whole[at]! / Math.hypot(...whole), 5)
    }
    const ids = ['[CLS]', 'the', 'sea', 'is', 'blue', '[SEP]'].map((text) => VOCABULARY.indexOf(text))
    const row = { type: 'int64', dims: [1, ids.length], data: BigInt64Array.from(ids, BigInt) } as const
    const ones = { ...row, data: row.data.map(() => 1n) }
    const zeros = { ...row, data: row.data.map(() => 0n) }
    const inputs = new Map([
      ['input_ids', row],
      ['attention_mask', ones],
      ['token_type_ids', zeros],
    ])
    const { outputs } = await peer.infer('encoder', inputs, { parts: 1 })
    const manifest = await peer.manifest('encoder')
    const text = ('kind' in manifest ? manifest.text : undefined) as EncoderText
    const vector = pooledVector(text, outputs.get('last_hidden_state')!, ids.length)!
    expect(bits([vector])).toEqual([bits(vectors)[0]])
    expect(bits((await peer.embed('encoder', [ids])).vectors)).toEqual([bits(vectors)[0]])
    expect(tokens).toBe(6 + 3 + 12 + 3 + 7)
  })

  it('are given for no texts', async () => {
    expect((await peer.embed('encoder', [])).vectors).toEqual([])
  })

  it.runIf(isWhole)('are given by two processes, nearly the same', async () => {
    const [one, two] = [await peer.embed('encoder', TEXTS), await peer.embed('encoder', TEXTS, { parts: 2 })]
    expect(two.route.length).toBeGreaterThanOrEqual(1)
    for (const [index, vector] of two.vectors.entries()) {
      for (const [at, value] of vector.entries()) expect(value).toBeCloseTo(one.vectors[index]![at]!, 5)
    }
  })
})

describe('what is refused', () => {
  it('is told before anything runs', async () => {
    const runs = counter('graph_runs')
    const refused = async (
      texts: Parameters<LocalPeer['embed']>[1],
      options: Parameters<LocalPeer['embed']>[2] = {},
      code = 'WEFT-INF-110',
    ): Promise<void> => {
      await expect(peer.embed('encoder', texts, options)).rejects.toMatchObject({ code })
    }
    await refused(['a '.repeat(CONTEXT - 1)])
    await refused(['a '.repeat(1e6)])
    await refused(Array.from({ length: 2_049 }, () => 'a'))
    await refused([[]])
    await refused([[VOCABULARY.length]])
    await refused([[-1]])
    await refused([[1.5]])
    await refused(['a'], { dimensions: WIDTH + 1 })
    await refused(['a'], { dimensions: 0 })
    await refused(['a'], { parts: 0 })
    await expect(peer.embed('nothing', ['a'])).rejects.toMatchObject({ code: 'WEFT-MOD-050' })
    await expect(peer.embed('encoder', ['a'], {}, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
    const input = { kind: 'text', text: 'x' } as const
    const generation = async (): Promise<void> => {
      for await (const _ of peer.generate({ model: 'encoder', input, sampling: GREEDY }));
    }
    await expect(generation()).rejects.toMatchObject({ code: 'WEFT-MOD-090' })
    expect(counter('graph_runs')).toBe(runs)
    // The longest that it takes.
    expect((await peer.embed('encoder', ['a '.repeat(CONTEXT - 2)])).tokens).toBe(CONTEXT)
  })
})

describe('rows as a vector', () => {
  const text: EncoderText = {
    kind: 'encoder',
    tokenizer: { address: '', bytes: 1 },
    context: 8,
    dimensions: 2,
    pooling: 'mean',
    normalize: false,
    output: 'rows',
  }
  const rows = (values: readonly number[], dims: readonly number[]): Parameters<typeof pooledVector>[1] => ({
    type: 'float32',
    dims,
    data: Float32Array.from(values),
  })
  const three = rows([1, 2, 3, 4, 50, 60], [1, 3, 2])

  it('leave padding out, by each way of pooling', () => {
    expect(pooledVector(text, three, 2)).toEqual(Float32Array.of(2, 3))
    expect(pooledVector({ ...text, pooling: 'cls' }, three, 2)).toEqual(Float32Array.of(1, 2))
    expect(pooledVector({ ...text, pooling: 'last' }, three, 2)).toEqual(Float32Array.of(3, 4))
    expect(pooledVector({ ...text, pooling: 'none' }, rows([3, 4], [1, 2]), 2)).toEqual(Float32Array.of(3, 4))
    expect(pooledVector({ ...text, normalize: true }, rows([3, 4], [1, 1, 2]), 1)).toEqual(Float32Array.of(0.6, 0.8))
    expect(pooledVector({ ...text, normalize: true }, rows([0, 0], [1, 1, 2]), 1)).toEqual(Float32Array.of(0, 0))
    const halves = { type: 'float16', dims: [1, 1, 2], data: Uint16Array.of(0x3c00, 0xc000) } as const
    expect(pooledVector(text, halves, 1)).toEqual(Float32Array.of(1, -2))
  })

  it('are none of another shape or type, or with what is no number', () => {
    expect(pooledVector(text, three, 4)).toBeNull()
    expect(pooledVector(text, rows([1, 2], [1, 2]), 1)).toBeNull()
    expect(pooledVector(text, rows([1, 2, 3], [1, 1, 3]), 1)).toBeNull()
    expect(pooledVector(text, rows([1, NaN], [1, 1, 2]), 1)).toBeNull()
    expect(pooledVector(text, { type: 'int32', dims: [1, 1, 2], data: Int32Array.of(1, 2) }, 1)).toBeNull()
  })
})
