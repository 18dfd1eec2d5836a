/** What weight formats are measured with errs as the kernels do, for every architecture and format. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importModel, trialHead, trialLayer } from '../../src/models/index.ts'
import type { ModelManifest, WeightFormat } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import { TrialRunner } from '../../src/pipeline/host/quality/runner.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { CONFIGS, hubModel, TOKENIZER } from '../models/support/hub-models.ts'
import { writeHubFolder } from '../models/support/hub-writer.ts'
import { randomModel } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'

const ROWS = 20
const FORMATS: readonly WeightFormat[] = ['q4', 'int8', 'f32']
/** Of a layer with another kind of attention than the first, where there is one. */
const BLOCK = 2
/** K-quants want rows of 256. */
const SLIM = { layers: 1, hidden: 256, vocabulary: 64 }

let directory: string
let store: BlobStore
let runner: TrialRunner

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-trial-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
  runner = new TrialRunner(createOrtEngine(), { threads: 1 }, directory)
})

afterAll(() => rm(directory, { recursive: true, force: true }))

function held(manifest: ModelManifest, weights: WeightFormat): ModelManifest {
  const blocks = manifest.blocks.map((block) => ({ ...block, weights }))
  return { ...manifest, digest: weights.padEnd(64, '0'), boundary: 'f32', blocks }
}

async function imported(name: string): Promise<ModelManifest> {
  const folder = join(directory, name.replaceAll(/\W/g, '-'))
  const source = writeHubFolder(folder, { ...hubModel(name), tokenizer: TOKENIZER, type: 'F16' })
  const needs = { store, directory: folder, downloads: join(folder, 'downloads'), clock: systemClock() }
  return importModel(needs, { source, name: 'm' })
}

/** |got - wanted| / |wanted| */
function apart(got: Float32Array, wanted: Float32Array): number {
  let [error, size] = [0, 0]
  for (const [at, value] of wanted.entries()) {
    error += (got[at]! - value) ** 2
    size += value ** 2
  }
  return Math.sqrt(error / size)
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer)
}

/** The error of a layer's kernels, and of its trial. */
async function layerErrors(manifest: ModelManifest, weights: WeightFormat, index: number): Promise<[number, number]> {
  const model = testModel(store, join(directory, `${manifest.digest}-${weights}`), held(manifest, weights))
  const stage = await model.stage(index, index + 1)
  const ids = someIds(ROWS, manifest.shape.vocabulary)
  const real = floats(await through(model, [stage], ids, [ROWS]))
  await stage.release()
  const x = floats(model.embed(ids))
  const run = async (format: WeightFormat): Promise<Float32Array> => {
    const block = { ...manifest.blocks[index]!, weights: format }
    // Tables for more positions than the text has: they must not matter.
    return runner.run(await trialLayer(store, manifest.shape, block, index - 1, ROWS + 5), x, manifest.shape.width)
  }
  const wanted = await run('f32')
  return [apart(real, wanted), apart(await run(weights), wanted)]
}

describe('a layer on trial', () => {
  it.each(Object.keys(CONFIGS))('errs as the one that is served does: %s', async (name) => {
    const manifest = await imported(name)
    for (const weights of FORMATS) {
      const [real, trial] = await layerErrors(manifest, weights, BLOCK)
      if (weights === 'f32') expect(real).toBeLessThan(1e-6)
      else {
        expect(real, weights).toBeGreaterThan(1e-3)
        expect(Math.abs(Math.log(trial / real)), weights).toBeLessThan(0.2)
      }
    }
  })

  it.each(['Q4_1', 'Q6_K', 'Q8_0'] as const)('keeps what a source in %s has', async (type) => {
    const manifest = { ...(await randomModel(store, { type, shape: SLIM })), digest: type }
    const [real, trial] = await layerErrors(manifest, 'auto', 1)
    // Weights that were rounded once more would err ten times as much as the activations.
    expect(Math.abs(Math.log(trial / real))).toBeLessThan(Math.LN2)
  })
})

describe('a head on trial', () => {
  it('is the one that is served, in parts of the vocabulary', async () => {
    const manifest = await imported('gemma2')
    const { shape } = manifest
    const model = testModel(store, join(directory, 'head'), held(manifest, 'q4'))
    const head = await model.head()
    const ids = someIds(4, shape.vocabulary)
    const rows = model.embed(ids)
    const served = await head.run(ids.map((_, row) => rows.subarray(row * model.rowBytes, (row + 1) * model.rowBytes)))
    await head.release()
    const block = { ...manifest.blocks.at(-1)!, weights: 'q4' as const }
    const f32 = { ...block, weights: 'f32' as const }
    for (const [from, end] of [
      [0, 100],
      [100, shape.vocabulary],
    ] as const) {
      const part = await runner.run(await trialHead(store, shape, block, { from, end }), floats(rows), shape.width)
      const exact = await runner.run(await trialHead(store, shape, f32, { from, end }), floats(rows), shape.width)
      for (const [row, logits] of served.entries()) {
        const own = part.subarray(row * (end - from), (row + 1) * (end - from))
        const wanted = exact.subarray(row * (end - from), (row + 1) * (end - from))
        const [real, trial] = [apart(logits.subarray(from, end), wanted), apart(own, wanted)]
        expect(Math.abs(Math.log(trial / real))).toBeLessThan(0.2)
      }
    }
  })
})
