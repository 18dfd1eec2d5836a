import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stageFiles } from '../../src/models/index.ts'
import type { ModelManifest, WeightFormat } from '../../src/models/index.ts'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { Engine, Tensor } from '../../src/onnx/index.ts'
import { createDecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { createHeadStage } from '../../src/pipeline/host/head-stage.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { randomModel, SMALL } from './support/random-model.ts'
import { someIds, testModel, through } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

const STEPS = 12
const options = { threads: 1 }

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-one-row-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** The real engine; `rows` is told how many rows of `x` each run had, and `spoil` may change what comes out. */
function watched(rows: number[], spoil: (x: Tensor, outputs: Readonly<Record<string, Tensor>>) => void): Engine {
  const engine = createOrtEngine()
  return {
    kernelId: engine.kernelId,
    attention: engine.attention,
    load: async (path, how) => {
      const graph = await engine.load(path, how)
      const run: typeof graph.run = async (feeds, fetches) => {
        const outputs = await graph.run(feeds, fetches)
        rows.push(feeds['x']!.dims[0]!)
        spoil(feeds['x']!, outputs)
        return outputs
      }
      return { ...graph, run }
    },
  }
}

/** A kernel that takes another path for one row: the lowest bit of its last number differs. */
function otherBitsForOneRow(name: string): (x: Tensor, outputs: Readonly<Record<string, Tensor>>) => void {
  return (x, outputs) => {
    const data = outputs[name]!.data as Float32Array
    if (x.dims[0] === 1) new Uint32Array(data.buffer, data.byteOffset, data.length)[data.length - 1]! ^= 1
  }
}

function decoder(manifest: ModelManifest, engine: Engine): Promise<DecoderStage> {
  const files = stageFiles({ store, directory: join(directory, 'cache') }, manifest)
  const { shape, boundary } = manifest
  const graph = (slots: number): Promise<string> => files.decoder(1, SMALL.layers + 1, slots)
  return createDecoderStage({ engine, options, shape, boundary, layers: SMALL.layers, graph })
}

async function model(weights: WeightFormat): Promise<TestModel> {
  const manifest = await randomModel(store, { type: 'Q8_0', weights, boundary: 'f16' })
  return testModel(store, join(directory, 'cache'), manifest)
}

/** Rows of each run that a session's single steps took, when their bits are those of one chunk. */
async function rowsOfSteps(
  weights: WeightFormat,
  spoil: Parameters<typeof watched>[1],
): Promise<{ readonly oneRow: boolean; readonly rows: readonly number[] }> {
  const test = await model(weights)
  const rows: number[] = []
  const stage = await decoder(test.manifest, watched(rows, spoil))
  const ids = someIds(STEPS, SMALL.vocabulary)
  const chunk = await through(test, [stage], ids, [STEPS])
  rows.length = 0
  const steps = Array.from({ length: STEPS }, () => 1)
  expect(await through(test, [stage], ids, steps)).toEqual(chunk)
  await stage.release()
  return { oneRow: stage.oneRow, rows }
}

describe('a row that is alone', () => {
  it.each<WeightFormat>(['auto', 'int8', 'f32'])('goes through %s matrices once', async (weights) => {
    const { oneRow, rows } = await rowsOfSteps(weights, () => undefined)
    expect(oneRow).toBe(true)
    expect(rows).toEqual(Array.from({ length: STEPS }, () => 1))
  })

  it('is given twice where a kernel has other bits for one row', async () => {
    const { oneRow, rows } = await rowsOfSteps('auto', otherBitsForOneRow(`nk.${SMALL.layers - 1}.0`))
    expect(oneRow).toBe(false)
    expect(rows).toEqual(Array.from({ length: STEPS }, () => 2))
  })

  it('is padded in attention as the engine wants it, up to the end of the context, and the same bits', async () => {
    const shape = { context: STEPS }
    const manifest = await randomModel(store, { type: 'Q4_0', weights: 'f32', boundary: 'f32', shape })
    const test = testModel(store, join(directory, 'short'), manifest)
    const given: number[] = []
    const watchful = { ...createOrtEngine(), attention: { rows: 2, multiple: 4 } }
    const engine: Engine = {
      ...watchful,
      load: async (path, how) => {
        const graph = await watchful.load(path, how)
        const run: typeof graph.run = (feeds, fetches) => {
          given.push(feeds['rows.0']!.dims[1]!)
          return graph.run(feeds, fetches)
        }
        return { ...graph, run }
      },
    }
    const stage = await decoder(manifest, engine)
    const ids = someIds(STEPS, SMALL.vocabulary)
    const chunk = await through(test, [stage], ids, [STEPS])
    given.length = 0
    const steps = [1, 1, 2, 1, 3, 1, 1, 1, 1]
    expect(await through(test, [stage], ids, steps)).toEqual(chunk)
    expect(given).toEqual([4, 3, 2, 4, 3, 4, 3, 2, 5])
    await stage.release()
  })

  it('is given to the head once or twice by the same rule', async () => {
    const test = await model('auto')
    const { shape, boundary } = test.manifest
    const graph = await stageFiles({ store, directory: join(directory, 'cache') }, test.manifest).head()
    const row = test.embed([5])
    const logits: Float32Array[] = []
    for (const [spoil, given] of [
      [() => undefined, 1],
      [otherBitsForOneRow('logits'), 2],
    ] as const) {
      const rows: number[] = []
      const head = await createHeadStage({ engine: watched(rows, spoil), options, shape, boundary, graph })
      expect(head.oneRow).toBe(given === 1)
      rows.length = 0
      logits.push((await head.run([row]))[0]!)
      expect(rows).toEqual([given])
      await head.release()
    }
    expect(logits[0]).toEqual(logits[1])
  })
})
