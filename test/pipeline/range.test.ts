/** The program that measures a range finds what the stages that serve would reach, with threads and without. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTokenizer, importModel, runInChild } from '../../src/models/index.ts'
import type { ModelManifest, TokenizerDefinition } from '../../src/models/index.ts'
import { rangeProgram } from '../../src/pipeline/index.ts'
import type { RangeResult, RangeTask } from '../../src/pipeline/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { hubModel, TOKENIZER } from '../models/support/hub-models.ts'
import { writeHubFolder } from '../models/support/hub-writer.ts'
import { testModel } from './support/stages.ts'

const TEXTS = ['abc abc abc abc', '1984: 2, 3', '{"a"}']
/** As the program has it. */
const ROWS = 16

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-range-test-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** Gemma 2: layers with a window and without, norms behind them too. */
async function imported(): Promise<ModelManifest> {
  const folder = join(directory, 'gemma2')
  const source = writeHubFolder(folder, { ...hubModel('gemma2'), tokenizer: TOKENIZER, type: 'F16' })
  const needs = { store, directory: folder, downloads: join(folder, 'downloads'), clock: systemClock() }
  return { ...(await importModel(needs, { source, name: 'm', weights: 'q4' })), boundary: 'f32' }
}

async function measured(manifest: ModelManifest): Promise<RangeResult> {
  const workDirectory = await mkdtemp(join(directory, 'work-'))
  const input: RangeTask = { manifest, storeDirectory: join(directory, 'store'), workDirectory, texts: TEXTS }
  const needs = { clock: systemClock(), codeCache: join(directory, 'code') }
  const steps: unknown[] = []
  const work = { program: rangeProgram(), input, what: 'measuring', onEvent: (step: unknown) => steps.push(step) }
  const result = (await runInChild(needs, work)) as RangeResult
  expect(steps).toEqual(manifest.blocks.slice(1, -1).map((_, index) => ({ done: index + 1 })))
  expect(await readdir(workDirectory)).toEqual([])
  return result
}

/** The largest magnitude behind any block, of the stages that serve. */
async function served(manifest: ModelManifest): Promise<number> {
  const model = testModel(store, join(directory, 'cache'), manifest)
  const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
  const tokenizer = createTokenizer(JSON.parse(definition) as TokenizerDefinition)
  let largest = 0
  for (const text of TEXTS) {
    const own = tokenizer.encode(text, { addEos: false })
    const ids = Array.from({ length: ROWS }, (_, row) => own[row % own.length]!)
    let rows = Uint8Array.from(model.embed(ids))
    for (let block = 1; block < manifest.blocks.length - 1; block++) {
      const stage = await model.stage(block, block + 1)
      largest = Math.max(largest, ...new Float32Array(rows.buffer).map(Math.abs))
      rows = Uint8Array.from((await stage.run([{ cache: stage.newCache(0), rows, count: ROWS }]))[0]!)
      await stage.release()
    }
    largest = Math.max(largest, ...new Float32Array(rows.buffer).map(Math.abs))
  }
  return largest
}

describe('the range of a model', () => {
  it('is what the stages that serve it reach, whether threads take turns or none does', async () => {
    const manifest = await imported()
    const wanted = await served(manifest)
    const here = await measured(manifest)
    expect(here).toMatchObject({ rows: ROWS, threads: 1 })
    // What is served rounds activations to 8 bits.
    expect(Math.abs(here.largest / wanted - 1)).toBeLessThan(0.02)
    // Said to be larger than they are, the blocks are worth threads; how they are loaded must not matter.
    const large = { ...manifest, blocks: manifest.blocks.map((block) => ({ ...block, memory: 1 << 26 })) }
    const apart = await measured(large)
    expect(apart).toEqual({ ...here, threads: Math.min(2, availableParallelism()) })
  })
})
