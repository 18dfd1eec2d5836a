/**
 * Every architecture, from the hub's files and from GGUF, against a plain reference: the same greedy tokens, and logits
 * as near as float32 comes to float64. Prompts go beyond every window.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { checkManifest, importModel, splitModelFiles } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { testModel } from '../pipeline/support/stages.ts'
import { referenceLogits } from './support/decoder-reference.ts'
import type { KeySpec, TensorSpec } from './support/gguf-writer.ts'
import { ggufName, hubGguf, paddedVocabulary } from './support/hub-gguf.ts'
import { CONFIGS, hubModel, TOKENIZER, VOCABULARY } from './support/hub-models.ts'
import type { HubModel } from './support/hub-models.ts'
import { judge } from './support/fuzz/oracle.ts'
import { writeHubFolder } from './support/hub-writer.ts'
import { bytesOf, openChain, pastOf } from './support/split-chain.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-architectures-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** Of the largest logit of a row; measured: up to 1.5e-6. */
const TOLERANCE = 1e-5
/** Logits nearer than this may change places by rounding alone. */
const FLOAT_GAP = 1e-4
const LENGTHS = [1, 2, 9, 40]
/** On both sides of the first context of a model that has others factors behind it. */
const LONG_LENGTHS = [63, 64, 65, 90]

let homes = 0

interface Imported {
  readonly store: BlobStore
  readonly manifest: ModelManifest
  logits(ids: readonly number[]): Promise<Float32Array[]>
  release(): Promise<void>
}

async function imported(source: string): Promise<Imported> {
  const home = join(base, `home-${homes++}`)
  const store = await createBlobStore({ directory: join(home, 'store') })
  const needs = { store, clock: systemClock(), directory: join(home, 'partitions'), downloads: join(home, 'downloads') }
  const manifest = await importModel(needs, { source, name: 'm', weights: 'f32', boundary: 'f32' })
  const model = testModel(store, join(home, 'cache'), manifest)
  const stage = await model.stage(1, manifest.shape.layers + 1)
  const head = await model.head()
  return {
    store,
    manifest,
    async logits(ids) {
      const { length: count } = ids
      const [rows] = await stage.run([{ cache: stage.newCache(0), rows: model.embed(ids), count, positions: count }])
      const size = model.rowBytes
      return (await head.run(ids.map((_, row) => rows!.subarray(row * size, (row + 1) * size)))).map((row) =>
        row.slice(),
      )
    },
    async release() {
      await stage.release()
      await head.release()
    },
  }
}

const prompt = (length: number): number[] => Array.from({ length }, (_, at) => (at * 7919 + length * 31) % VOCABULARY)

function largest(row: ArrayLike<number>): number {
  let best = 0
  for (let at = 1; at < row.length; at++) if (row[at]! > row[best]!) best = at
  return best
}

async function expectReference(source: string, { config, tensors }: HubModel): Promise<ModelManifest> {
  const model = await imported(source)
  let clear = 0
  const lengths = model.manifest.shape.rope_long === undefined ? LENGTHS : [...LENGTHS, ...LONG_LENGTHS]
  for (const length of lengths) {
    const ids = prompt(length)
    const wanted = referenceLogits(config, tensors, ids)
    for (const [position, row] of (await model.logits(ids)).entries()) {
      const expected = wanted[position]!
      const most = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      const error = expected.reduce((a, b, at) => Math.max(a, Math.abs(b - row[at]!)), 0)
      expect(error / most).toBeLessThan(TOLERANCE)
      const sorted = expected.toSorted((a, b) => b - a)
      if (sorted[0]! - sorted[1]! < FLOAT_GAP) continue
      clear += 1
      expect(largest(row)).toBe(largest(expected))
    }
  }
  expect(clear).toBeGreaterThan(40)
  await model.release()
  return model.manifest
}

describe.each(Object.keys(CONFIGS))('%s', (name) => {
  it('from a folder of safetensors', async () => {
    const model = hubModel(name)
    const folder = writeHubFolder(join(base, `folder-${homes}`), {
      ...model,
      tokenizer: TOKENIZER,
      shards: 1 + (homes % 3),
    })
    await expectReference(folder, model)
  })
})

const key = (model: HubModel, name: string, type: KeySpec['type'], value: KeySpec['value']): KeySpec => ({
  key: `${ggufName(model)}.${name}`,
  type,
  value,
})

/** What llama.cpp's converter writes beside the shape. Of Gemma 3 neither the pattern of the windows nor their base. */
const GGUF: Readonly<Record<string, (model: HubModel) => { keys: KeySpec[]; tensors?: TensorSpec[] }>> = {
  llama: () => ({ keys: [] }),
  'llama, scaled as 3.1, wide heads': (model) => ({
    keys: [key(model, 'rope.freq_base', 'f32', 500_000)],
    tensors: [factors('rope_freqs.weight', llama31(16, 500_000))],
  }),
  'llama, yarn as DeepSeek has it': (model) => ({
    keys: [
      key(model, 'rope.scaling.type', 'string', 'yarn'),
      key(model, 'rope.scaling.factor', 'f32', 8),
      key(model, 'rope.scaling.original_context_length', 'u32', 32),
      key(model, 'rope.scaling.yarn_log_multiplier', 'f32', 0.5),
    ],
  }),
  'mistral, window': (model) => ({ keys: [key(model, 'attention.sliding_window', 'u32', 9)] }),
  qwen2: (model) => ({ keys: [key(model, 'rope.freq_base', 'f32', 1e6)] }),
  'qwen3, heads of 24': () => ({ keys: [] }),
  gemma: () => ({ keys: [] }),
  gemma2: (model) => ({
    keys: [
      key(model, 'attention.sliding_window', 'u32', 8),
      key(model, 'attn_logit_softcapping', 'f32', 2),
      key(model, 'final_logit_softcapping', 'f32', 3),
    ],
  }),
  gemma3: (model) => ({
    keys: [
      key(model, 'attention.sliding_window', 'u32', 8),
      key(model, 'rope.freq_base', 'f32', 1_000_000),
      key(model, 'rope.scaling.type', 'string', 'linear'),
      key(model, 'rope.scaling.factor', 'f32', 8),
    ],
  }),
  'phi3, window': (model) => ({ keys: [key(model, 'attention.sliding_window', 'u32', 11)] }),
  'phi3, longrope, three quarters rotated': (model) => ({
    keys: [
      key(model, 'rope.dimension_count', 'u32', 12),
      key(model, 'rope.scaling.original_context_length', 'u32', 64),
      key(model, 'rope.scaling.attn_factor', 'f32', Math.sqrt(1 + Math.log(2) / Math.log(64))),
    ],
    tensors: [
      factors('rope_factors_short.weight', [1, 1.05, 1.1, 1.2, 1.3, 1.5]),
      factors('rope_factors_long.weight', [2, 2.5, 3, 4, 5, 8]),
    ],
  }),
  smollm3: (model) => ({ keys: [key(model, 'rope.freq_base', 'f32', 10_000)] }),
  'stablelm, biases': (model) => ({ keys: [key(model, 'rope.dimension_count', 'u32', 4)] }),
}

function factors(name: string, values: readonly number[]): TensorSpec {
  return { name, shape: [values.length], type: 'F32', data: new Uint8Array(Float32Array.from(values).buffer) }
}

/** As the converter of llama.cpp computes them for the configuration of the same name. */
function llama31(pairs: number, theta: number): number[] {
  return Array.from({ length: pairs }, (_, pair) => {
    const wave = 2 * Math.PI * theta ** (pair / pairs)
    if (wave < 32 / 4) return 1
    if (wave > 32) return 8
    const smooth = (32 / wave - 1) / 3
    return 1 / ((1 - smooth) / 8 + smooth)
  })
}

describe.each(Object.keys(GGUF))('%s', (name) => {
  it('from a GGUF file', async () => {
    const model = hubModel(name)
    const { keys, tensors } = GGUF[name]!(model)
    const path = join(base, `model-${homes}.gguf`)
    writeFileSync(path, hubGguf(model, [...keys, ...paddedVocabulary()], tensors))
    const { shape } = await expectReference(path, model)
    expect(shape.family).toBe(name.replace(/,.*/, ''))
  })
})

describe.each(Object.keys(GGUF))('%s, as a GGUF file that lies', (name) => {
  it('is refused with a code, or is a model whose manifest others take', async () => {
    const model = hubModel(name)
    const { keys, tensors } = GGUF[name]!(model)
    const sound = hubGguf(model, [...keys, ...paddedVocabulary()], tensors)
    expect((await judge(sound)).code).toBeNull()
    // Keys, then the table of tensors: before the tokenizer and behind it.
    const places = fc.oneof(fc.nat(1_200), fc.integer({ min: 12_000, max: 18_000 }))
    const edits = fc.array(fc.tuple(places, fc.nat(255)), { minLength: 1, maxLength: 3 })
    const verdicts: Awaited<ReturnType<typeof judge>>[] = []
    await fc.assert(
      fc.asyncProperty(edits, async (changes) => {
        const bytes = sound.slice()
        for (const [at, value] of changes) bytes[at] = value
        verdicts.push(await judge(bytes))
      }),
      { numRuns: 25, seed: 7 },
    )
    const taken = verdicts.filter(({ code }) => code === null)
    for (const { manifest } of taken) expect(checkManifest(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest)
    // Of the 25 some are caught, so the edits reach what is checked.
    expect(verdicts.length - taken.length).toBeGreaterThan(0)
  })
})

describe.each(['gemma3', 'smollm3', 'stablelm, biases'])('%s, split into files', (name) => {
  it('gives the bits of the stages, run by run', async () => {
    const folder = writeHubFolder(join(base, `folder-${homes}`), { ...hubModel(name), tokenizer: TOKENIZER })
    const model = await imported(folder)
    const out = join(base, `split-${homes}`)
    await splitModelFiles(
      { store: model.store, engine: createOrtEngine },
      { manifest: model.manifest, out, parts: 3, check: true },
    )
    const ids = prompt(30)
    const wanted = (await model.logits(ids)).map((row) => Buffer.from(row.buffer))
    const chain = await openChain(out)
    const first = await chain.run(ids.slice(0, 21))
    const second = await chain.run(ids.slice(21), pastOf(first))
    expect(
      Buffer.compare(Buffer.concat([bytesOf(first['logits']!), bytesOf(second['logits']!)]), Buffer.concat(wanted)),
    ).toBe(0)
    await chain.release()
    await model.release()
  })
})

describe.each(['F16', 'BF16'] as const)('weights of %s', (type) => {
  it('are those of the file', async () => {
    const { config, tensors } = hubModel('qwen2')
    // What the type holds of each value, so that nothing is lost on the way.
    const kept = (values: Float32Array): Float32Array =>
      type === 'F16' ? Float32Array.from(new Float16Array(values)) : upper(values)
    const rounded = new Map([...tensors].map(([at, { shape, values }]) => [at, { shape, values: kept(values) }]))
    const model = { config, tensors: rounded }
    await expectReference(
      writeHubFolder(join(base, `folder-${homes}`), { ...model, tokenizer: TOKENIZER, type }),
      model,
    )
  })
})

function upper(values: Float32Array): Float32Array {
  return new Float32Array(new Uint32Array(values.buffer).map((word) => word & 0xffff0000).buffer)
}
