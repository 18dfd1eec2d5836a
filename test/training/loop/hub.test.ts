/** A decoder that was trained here, imported as a language model: it says what the graph of the run says. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createTokenizer, importModel } from '../../../src/models/index.ts'
import type { TokenizerDefinition } from '../../../src/models/index.ts'
import { readModel } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { testModel } from '../../pipeline/support/stages.ts'
import { ints, run, temporaryFolder, train, writePlan } from './support.ts'

const TEXT = 'Call me Ishmael. Some years ago - never mind how long precisely \u2013 I went to sea.'
const PLAN = {
  schema: 'weft.train-plan/1',
  task: 'language',
  data: { kind: 'text', path: 'text.txt', length: 16 },
  split: { every: 10, test: 9 },
  optimizer: { kind: 'adamw', lr: 0.01 },
  epochs: 2,
  batch: 8,
}

test.each([
  ['tied, a key for two queries', { layers: 2, width: 48, heads: 2, kv_heads: 1 }],
  ['a head of its own', { layers: 1, width: 64, heads: 2, hidden: 96, tied: false }],
])('%s', async (_, spec) => {
  await using folder = await temporaryFolder()
  await writeFile(folder.at('text.txt'), TEXT.repeat(20))
  const plan = await writePlan(folder, { ...PLAN, model: { kind: 'decoder', ...spec } })
  const { result } = await train(folder, plan)
  expect(result.files).toContain('hub/model.safetensors')

  const store = await createBlobStore({ directory: folder.at('store') })
  const needs = { store, clock: systemClock(), directory: folder.at('partitions'), downloads: folder.at('downloads') }
  const asked = { source: folder.at('run/hub'), name: 'm', weights: 'f32', boundary: 'f32' } as const
  const manifest = await importModel(needs, asked)
  expect(manifest.shape).toMatchObject({ layers: spec.layers, width: spec.width, vocabulary: 256, context: 16 })
  const definition = Buffer.from(await store.readAll(manifest.tokenizer.address)).toString('utf8')
  const tokenizer = createTokenizer(JSON.parse(definition) as TokenizerDefinition)
  // Bytes are ids, those of a letter of several bytes too.
  const ids = tokenizer.encode(TEXT.slice(58))
  expect(ids).toEqual([...Buffer.from(TEXT.slice(58))])

  const asked16 = ids.slice(0, 16)
  const scores = await run(await readModel(folder.at('run/model.onnx')), { x: ints([1, 16], asked16) })
  const model = testModel(store, folder.at('cache'), manifest)
  const [stage, head] = [await model.stage(1, spec.layers + 1), await model.head()]
  const [rows] = await stage.run([{ cache: stage.newCache(0), rows: model.embed(asked16), count: 16 }])
  const size = model.rowBytes
  const logits = await head.run(asked16.map((__, row) => rows!.subarray(row * size, (row + 1) * size)))
  const wanted = scores['scores']!.data as Float32Array
  const got = Float32Array.from(logits.flatMap((row) => [...row]))
  await stage.release()
  await head.release()
  const apart = Math.hypot(...got.map((value, at) => value - wanted[at]!)) / Math.hypot(...wanted)
  // The weights are in half precision there.
  expect(apart).toBeLessThan(2e-3)
})
