/** Rows that honest stages compute, of whatever text, are none that a door refuses; bad ones of the same stages are. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTokenizer, importModel, runInChild } from '../../../src/models/index.ts'
import type { ModelManifest, TokenizerDefinition, WeightFormat } from '../../../src/models/index.ts'
import { DTYPE, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { RowLevels } from '../../../src/peer/row-levels.ts'
import { rangeProgram } from '../../../src/pipeline/index.ts'
import type { RangeResult, RangeTask } from '../../../src/pipeline/index.ts'
import { RowCheck } from '../../../src/pipeline/ring/row-check.ts'
import type { Outlier, RowGate } from '../../../src/pipeline/ring/row-check.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { LEAST_LEVEL } from '../../../src/pipeline/row-level.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import type { BlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { CONFIGS, hubModel, TOKENIZER } from '../../models/support/hub-models.ts'
import { writeHubFolder } from '../../models/support/hub-writer.ts'
import { sampled } from '../../whole.ts'
import { someIds, testModel } from '../support/stages.ts'
import type { TestModel } from '../support/stages.ts'

const TEXTS = ['The capital of France is Paris.', '1984, 3.14 {"a": [1]};', '\u4f60\u597d, \u0416 \u2014 aaaa aaaa']
const EMBEDDED = ['weft-tiny/weft-tiny.gguf', 'weft-mite']
const PARTITIONS = fileURLToPath(new URL('../../../partitions/', import.meta.url))
/** In company: those of one run. */
const CHUNK = 32

let directory: string
let store: BlobStore
let levels: RowLevels

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-honest-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
  levels = await RowLevels.open(directory, () => undefined)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** As an import of a peer leaves it: with what its rows are measured to be. */
async function imported(source: string, weights: WeightFormat): Promise<ModelManifest> {
  const own = await mkdtemp(join(directory, 'home-'))
  const needs = { store, directory: own, downloads: join(own, 'downloads'), clock: systemClock() }
  const manifest = await importModel(needs, { source, name: 'm', weights })
  const workDirectory = await mkdtemp(join(directory, 'work-'))
  const input: RangeTask = { manifest, storeDirectory: join(directory, 'store'), workDirectory, texts: TEXTS }
  const child = { clock: systemClock(), codeCache: join(directory, 'code') }
  const work = { program: rangeProgram(), input, what: 'measuring', onEvent: () => undefined }
  await levels.keep(manifest.digest, ((await runInChild(child, work)) as RangeResult).levels!)
  return manifest
}

/** Prose, what is none, single tokens, and one token again and again; as long as the model takes. */
async function prompts({ shape, tokenizer }: ModelManifest): Promise<readonly (readonly number[])[]> {
  const definition = Buffer.from(await store.readAll(tokenizer.address)).toString('utf8')
  const encoder = createTokenizer(JSON.parse(definition) as TokenizerDefinition)
  const most = Math.min(shape.context, 256)
  const { vocabulary } = shape
  const written = [
    'Once upon a time there was a small house by the sea. '.repeat(20),
    '\u0000\ufffd\u200b\u{1f600}\u{1f468}\u200d\u{1f469}\u202e'.repeat(30),
    '\u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \u0416\u0443\u043a '.repeat(20),
    '{"a": [1, 2, {"b": null}]}\n\t;;;; 0x7fffffff '.repeat(10),
  ].map((text) => encoder.encode(text, { addEos: false }).filter((id) => id < vocabulary))
  const random = [1, 2, 3].map((seed) => someIds(most, vocabulary, seed))
  const single = someIds(24, vocabulary, 9).map((id) => [id])
  const again = [0, 1, 2, ...someIds(9, vocabulary, 5)].map((id) => Array.from({ length: 24 }, () => id))
  return [...written, ...random, ...single, ...again]
    .map((ids) => ids.slice(0, most))
    .filter(({ length }) => length > 0)
}

function rowsFrame({ manifest, rowBytes }: TestModel, rows: Uint8Array): Frame {
  const { boundary, shape } = manifest
  const dims = [rows.length / rowBytes, shape.width]
  return frame({ type: RING.rows, dtype: boundary === 'f16' ? DTYPE.f16 : DTYPE.f32, dims, payload: rows })
}

function door(digest: string, block: number): { readonly check: RowCheck; readonly found: Outlier[] } {
  const found: Outlier[] = []
  const gate: RowGate = {
    levels: (...asked) => levels.of(...asked, null),
    outlier: (outlier) => void found.push(outlier),
  }
  const init = { gate, self: 'me', origin: 'o', digest, from: block, to: block + 1, isAdapted: false, isAudited: false }
  return { check: new RowCheck(init), found }
}

/** Every element changed. */
function changed({ manifest }: TestModel, rows: Uint8Array, change: (value: number) => number): Uint8Array {
  const { buffer } = rows.slice()
  const values = manifest.boundary === 'f16' ? new Float16Array(buffer) : new Float32Array(buffer)
  values.forEach((value, at) => (values[at] = change(value)))
  return new Uint8Array(buffer)
}

/** All boundaries: what comes to a door of a cut there. @param own texts in the place of all others, of a model that may send zeros */
async function lookedAt(manifest: ModelManifest, own?: readonly (readonly number[])[]): Promise<void> {
  const model = testModel(store, join(directory, 'cache'), manifest)
  let texts = (own ?? (await prompts(manifest))).map((ids) => Uint8Array.from(model.embed(ids)))
  const blocks = manifest.blocks.length
  for (let block = 1; block < blocks; block++) {
    const { check, found } = door(manifest.digest, block)
    for (const rows of texts) check.refuses('other', rowsFrame(model, rows))
    expect(found).toEqual([])
    const bad = texts[0]!
    const changes = [() => 0, (value: number) => value * 1_000, (value: number) => value / 1_000]
    for (const change of own === undefined ? changes : [])
      expect(check.refuses('other', rowsFrame(model, changed(model, bad, change)))).toBeTypeOf('string')
    if (block < blocks - 1) texts = await through(model, block, texts)
  }
}

async function through(
  model: TestModel,
  block: number,
  texts: readonly Uint8Array[],
): Promise<Uint8Array<ArrayBuffer>[]> {
  const stage = await model.stage(block, block + 1)
  const next: Uint8Array<ArrayBuffer>[] = []
  for (const rows of texts) {
    const cache = stage.newCache(0)
    const out: Uint8Array[] = []
    for (let at = 0; at < rows.length; at += CHUNK * model.rowBytes) {
      const piece = rows.slice(at, at + CHUNK * model.rowBytes)
      out.push((await stage.run([{ cache, rows: piece, count: piece.length / model.rowBytes }]))[0]!)
    }
    next.push(Uint8Array.from(Buffer.concat(out)))
  }
  await stage.release()
  return next
}

describe('no text makes an honest stage send what a door refuses, at any cut', () => {
  it.each(EMBEDDED)('of the embedded model %s', async (path) =>
    lookedAt(await imported(join(PARTITIONS, path), 'auto')),
  )

  const forms: readonly WeightFormat[] = ['q4', 'int8', 'f32']
  const names = ['gemma2', 'stablelm, biases', 'qwen3, heads of 24', ...Object.keys(CONFIGS)]
  const cases = [...new Set(names)].map((name, at) => [name, forms[at % forms.length]!] as const)
  it.each(sampled(cases, 3))('of %s in %s', async (name, weights) => {
    const folder = join(directory, name.replaceAll(/\W/g, '-'))
    const source = writeHubFolder(folder, { ...hubModel(name), tokenizer: TOKENIZER, type: 'F16' })
    await lookedAt(await imported(source, weights))
  })

  it('where a token has a row of zeros, alone, again and again, in front of a text and within it', async () => {
    const folder = join(directory, 'zeros')
    const { config, tensors } = hubModel('llama')
    tensors.get('model.embed_tokens.weight')!.values.fill(0, 5 * 64, 6 * 64)
    const source = writeHubFolder(folder, { config, tensors, tokenizer: TOKENIZER, type: 'F16' })
    const manifest = await imported(source, 'q4')
    expect(levels.own(manifest.digest)!.low[0]).toBe(LEAST_LEVEL)
    await lookedAt(manifest, [[5], [5, 5, 5, 5], [5, 40, 41], [40, 5, 5, 41]])
  })
})
