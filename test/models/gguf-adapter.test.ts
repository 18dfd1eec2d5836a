/** Adapters as GGUF files: beside the matrices of the model's own GGUF file they do what weft does, and back. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSeeded } from '../../src/data/index.ts'
import {
  adapterGguf,
  dequantize,
  mergeAdapter,
  openSealed,
  partSize,
  readAdapterGguf,
  sealAdapter,
} from '../../src/models/index.ts'
import type { AdaptedPart, DecoderShape, LowRankAdapter, ModelManifest } from '../../src/models/index.ts'
import { readGguf } from '../../src/models/readers/gguf.ts'
import { memoryAccess } from '../../src/models/readers/random-access.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

const ALL: readonly AdaptedPart[] = ['q', 'k', 'v', 'o', 'gate', 'up', 'down']
const RANK = 3
const SHAPE = { layers: 2, width: 64, hidden: 96, heads: 2, kv_heads: 1, head_dim: 24, rope_dim: 16 }

let directory: string
let store: BlobStore
/** As its GGUF file has it: pairs side by side. */
let manifest: ModelManifest
let adapter: LowRankAdapter

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-gguf-adapter-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
  manifest = await randomModel(store, { type: 'F32', shape: { ...SHAPE, rope_interleaved: true } })
  adapter = await adapterOf(manifest.shape)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function adapterOf(shape: DecoderShape): Promise<LowRankAdapter> {
  const value: LowRankAdapter['value'] = (layer, part, factor) => {
    const { inputs, outputs } = partSize(shape, part)
    const seeded = createSeeded(1, layer, part, factor)
    return Float32Array.from({ length: RANK * (factor === 'a' ? inputs : outputs) }, () => seeded.normal())
  }
  const all: LowRankAdapter = { kind: 'lora', rank: RANK, alpha: RANK, parts: ALL, value }
  // What a file has no place for is gone then.
  return (await openSealed(sealAdapter(shape, all), shape, 'x')) as LowRankAdapter
}

describe('an adapter as a GGUF file', () => {
  it('changes each matrix of the model by B A alpha / rank, row by row of its own file', async () => {
    const doubled = { ...adapter, alpha: 2 * RANK }
    const bytes = adapterGguf('base', manifest.shape, doubled)
    const access = memoryAccess(bytes)
    const { metadata, tensors } = await readGguf(access)
    expect(Object.fromEntries([...metadata].map(([key, { value }]) => [key, value]))).toEqual({
      'general.type': 'adapter',
      'general.architecture': 'llama',
      'general.name': 'base',
      'adapter.type': 'lora',
      'adapter.lora.alpha': 2 * RANK,
    })
    expect(tensors).toHaveLength(2 * 2 * ALL.length)
    const valuesOf = async (name: string): Promise<{ rows: number; columns: number; values: Float32Array }> => {
      const { type, shape, offset, bytes: size } = tensors.find((tensor) => tensor.name === name)!
      const [rows, columns] = shape as [number, number]
      return { rows, columns, values: dequantize(type, await access.read(offset, size), rows * columns) }
    }
    const merged = await mergeAdapter(store, manifest, doubled, 'merged')
    for (const [index, block] of manifest.blocks.entries()) {
      for (const ref of block.tensors) {
        const name = `${ref.name}.lora_`
        if (!tensors.some((tensor) => tensor.name === `${name}a`)) continue
        const [a, b] = [await valuesOf(`${name}a`), await valuesOf(`${name}b`)]
        expect([b.rows, a.columns]).toEqual(ref.shape)
        const other = merged.blocks[index]!.tensors.find((tensor) => tensor.name === ref.name)!
        const [before, after] = [
          dequantize(ref.type, await store.readAll(ref.address), b.rows * a.columns),
          dequantize(other.type, await store.readAll(other.address), b.rows * a.columns),
        ]
        let most = 0
        for (let row = 0; row < b.rows; row++) {
          for (let column = 0; column < a.columns; column++) {
            let sum = 0
            for (let at = 0; at < RANK; at++) sum += b.values[row * RANK + at]! * a.values[at * a.columns + column]!
            const at = row * a.columns + column
            most = Math.max(most, Math.abs(after[at]! - before[at]! - 2 * sum))
          }
        }
        // Merged weights are in half precision.
        expect([ref.name, most < 0.05]).toEqual([ref.name, true])
      }
    }
  })

  it('comes back as it was', async () => {
    const path = join(directory, 'back.gguf')
    await writeFile(path, adapterGguf('base', manifest.shape, adapter))
    const back = await readAdapterGguf(path, 'base', manifest.shape)
    expect([back.rank, back.alpha, back.parts]).toEqual([RANK, RANK, ALL])
    for (const part of ALL)
      for (const factor of ['a', 'b'] as const)
        expect(back.value(1, part, factor)).toEqual(adapter.value(1, part, factor))
  })

  it.each([
    [
      'a model',
      (bytes: Buffer) => bytes.toString('latin1').replace('adapter.type', 'adapter.kind'),
      /none of a low-rank/,
    ],
    [
      'another architecture, whose matrices are as large',
      (bytes: Buffer) => bytes.toString('latin1').replace('\x05\0\0\0\0\0\0\0llama', '\x05\0\0\0\0\0\0\0qwen2'),
      /"qwen2", and the model is llama/,
    ],
    [
      'no architecture',
      (bytes: Buffer) => bytes.toString('latin1').replace('general.architecture', 'general.Architecture'),
      /of no architecture/,
    ],
    ['another model', (bytes: Buffer) => bytes.toString('latin1').replace('blk.1.ffn_up.', 'blk.7.ffn_up.'), /ffn_up/],
  ])('of %s is refused', async (_, change, why) => {
    const path = join(directory, 'odd.gguf')
    await writeFile(path, Buffer.from(change(Buffer.from(adapterGguf('base', manifest.shape, adapter))), 'latin1'))
    const read = readAdapterGguf(path, 'base', manifest.shape)
    await expect(read).rejects.toMatchObject({ code: 'WEFT-MOD-110', why: expect.stringMatching(why) as string })
  })

  it('is not written for models whose GGUF files have other matrices', () => {
    expect(() => adapterGguf('phi', { ...manifest.shape, family: 'phi3' }, adapter)).toThrow(/cannot be used/)
  })
})

describe('a file that is no adapter', () => {
  const refusal = async (name: string): Promise<unknown> =>
    readAdapterGguf(join(directory, name), 'base', manifest.shape).catch((error: unknown) => error)

  it('is refused where it is cut off, is not there, or is no file', async () => {
    await writeFile(join(directory, 'cut.gguf'), adapterGguf('base', manifest.shape, adapter).subarray(0, 900))
    expect(await refusal('cut.gguf')).toMatchObject({ code: 'WEFT-MOD-002' })
    expect(await refusal('nowhere.gguf')).toMatchObject({ code: 'WEFT-MOD-004' })
    expect(await refusal('.')).toMatchObject({ code: 'WEFT-MOD-004' })
    execFileSync('mkfifo', [join(directory, 'pipe')])
    expect(await refusal('pipe')).toMatchObject({ code: 'WEFT-MOD-004' })
  })

  it('is not read to its end, however large the model is that it holds', async () => {
    const path = join(directory, 'large.gguf')
    const bytes = Buffer.from(adapterGguf('base', manifest.shape, adapter))
    await writeFile(path, Buffer.from(bytes.toString('latin1').replace('adapter.type', 'adapter.kind'), 'latin1'))
    // Beyond what Node reads at once.
    await truncate(path, 3 * 2 ** 30)
    expect(await refusal('large.gguf')).toMatchObject({ code: 'WEFT-MOD-110' })
  })
})
