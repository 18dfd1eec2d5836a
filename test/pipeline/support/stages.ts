/** Stages of a model in this process, with the real engine: rows in, rows out, however they are cut and chunked. */
import { openEmbedding, stageFiles } from '../../../src/models/index.ts'
import type { ModelManifest } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import type { Engine } from '../../../src/onnx/index.ts'
import { createDecoderStage } from '../../../src/pipeline/host/decoder-stage.ts'
import type { DecoderStage } from '../../../src/pipeline/host/decoder-stage.ts'
import { createHeadStage } from '../../../src/pipeline/host/head-stage.ts'
import type { HeadStage } from '../../../src/pipeline/host/head-stage.ts'
import type { BlobStore } from '../../../src/store/index.ts'

export interface TestModel {
  readonly manifest: ModelManifest
  readonly rowBytes: number
  stage(from: number, to: number, threads?: number): Promise<DecoderStage>
  head(threads?: number): Promise<HeadStage>
  embed(ids: readonly number[]): Uint8Array
}

/** @param prepacks pre-packs the blocks; none: they stay plain weights */
export function testModel(store: BlobStore, directory: string, manifest: ModelManifest, prepacks?: Engine): TestModel {
  const engine = createOrtEngine()
  const files = stageFiles({ store, directory, ...(prepacks === undefined ? {} : { engine: prepacks }) }, manifest)
  const { shape, boundary } = manifest
  const ref = manifest.blocks[0]!.tensors[0]!
  const embedding = openEmbedding(store.path(ref.address), shape, ref, boundary)
  return {
    manifest,
    rowBytes: shape.width * (boundary === 'f16' ? 2 : 4),
    stage: (from, to, threads = 1) =>
      createDecoderStage({
        engine,
        shape,
        boundary,
        options: { threads },
        layers: to - from,
        first: from - 1,
        graph: (slots, adapted) => files.decoder(from, to, slots, adapted),
      }),
    head: async (threads = 1) =>
      createHeadStage({ engine, shape, boundary, options: { threads }, graph: await files.head() }),
    embed: (ids) => embedding.rows(Int32Array.from(ids)),
  }
}

/** The rows of one session through a chain of stages, in chunks of these sizes. */
export async function through(
  model: TestModel,
  stages: readonly DecoderStage[],
  ids: readonly number[],
  chunks: readonly number[],
): Promise<Uint8Array> {
  const caches = stages.map((stage) => stage.newCache(0))
  const out: Uint8Array[] = []
  let at = 0
  for (const count of chunks) {
    let rows = model.embed(ids.slice(at, at + count))
    for (const [index, stage] of stages.entries())
      rows = (await stage.run([{ cache: caches[index]!, rows, count }]))[0]!
    out.push(rows)
    at += count
  }
  return Buffer.concat(out)
}

/** Token ids that look random and are the same each time. */
export function someIds(count: number, vocabulary: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, index) => ((index + seed) * 7919 + seed * 104_729) % vocabulary)
}
