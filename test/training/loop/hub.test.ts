/** A decoder that was trained here, imported as a language model: it says what the graph of the run says. */
import { readdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { writeNpz } from '../../../src/data/index.ts'
import { createTokenizer, importModel, writeHubDecoder } from '../../../src/models/index.ts'
import type { TokenizerDefinition } from '../../../src/models/index.ts'
import { readModel } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { testModel } from '../../pipeline/support/stages.ts'
import { ints, run, temporaryFolder, train, writeClouds, writePlan } from './support.ts'

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

test('a model of another kind, or whose tokens are no bytes, has no such folder, and whoever asks for it is told what to take', async () => {
  await using folder = await temporaryFolder()
  const tokens = ints(
    [12, 4],
    Array.from({ length: 48 }, (_, at) => (7 * at) % 300),
  )
  await writeNpz(
    folder.at('ids.npz'),
    new Map([
      ['x', tokens],
      ['y', tokens],
    ]),
  )
  const data = { kind: 'npz', path: 'ids.npz', input: 'x', target: 'y' }
  const model = { kind: 'decoder', layers: 1, width: 16, heads: 2 }
  const ids = await writePlan(folder, { ...PLAN, data, classes: 300, model })
  const { result } = await train(folder, ids, { out: folder.at('ids') })
  await train(folder, await writeClouds(folder), { out: folder.at('clouds') })
  expect(result.files.filter((file) => file.startsWith('hub'))).toEqual([])
  const store = await createBlobStore({ directory: folder.at('store') })
  const needs = { store, clock: systemClock(), directory: folder.at('partitions'), downloads: folder.at('downloads') }
  for (const run of ['ids', 'clouds']) {
    await expect(importModel(needs, { source: folder.at(`${run}/hub`), name: 'm' })).rejects.toMatchObject({
      code: 'WEFT-MOD-111',
      hint: expect.stringContaining(folder.at(`${run}/model.onnx`)) as string,
    })
  }
  // Where there is no run, it is a path like any other.
  await expect(importModel(needs, { source: folder.at('none/hub'), name: 'm' })).rejects.toMatchObject({
    code: 'WEFT-MOD-012',
  })
})

test('the layout is not written for tokens that are no bytes, nor for tensors that have no name in it', async () => {
  await using folder = await temporaryFolder()
  const sizes = { layers: 1, width: 2, hidden: 2, heads: 1, kv_heads: 1, vocabulary: 256, context: 4 }
  const decoder = { ...sizes, tied: true, norm_epsilon: 1e-5, rope_base: 10_000 }
  const tensor = { name: 'blk.0.conv.weight', dims: [2], values: Float32Array.of(1, 2) }
  const refusals = [
    writeHubDecoder(folder.path, { ...decoder, vocabulary: 300 }, []),
    writeHubDecoder(folder.path, decoder, [tensor]),
  ]
  for (const refused of refusals) await expect(refused).rejects.toMatchObject({ code: 'WEFT-MOD-111' })
  expect(await readdir(folder.path)).toEqual([])
})
