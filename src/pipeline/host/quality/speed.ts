/** What a layer takes in each format with the kernels of this machine, all in one run: shown, and never decided by. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { stageFiles } from '../../../models/index.ts'
import type { ModelManifest, WeightFormat } from '../../../models/index.ts'
import type { Engine } from '../../../onnx/index.ts'
import type { BlobStore } from '../../../store/index.ts'
import { createDecoderStage } from '../decoder-stage.ts'
import type { DecoderStage } from '../decoder-stage.ts'
import { trialRow } from '../one-row.ts'
import type { FormatSpeed, QualityTask } from './protocol.ts'

const BATCH = 64
const ROUNDS = 9

export async function measureSpeeds(
  { manifest, candidates, workDirectory }: QualityTask,
  store: BlobStore,
  engine: Engine,
  block: number,
): Promise<FormatSpeed[]> {
  const speeds: FormatSpeed[] = []
  for (const { weights } of candidates[block]!) {
    const directory = await mkdtemp(join(workDirectory, 'speed-'))
    try {
      const files = stageFiles({ store, directory }, held(manifest, weights))
      const stage = await createDecoderStage({
        engine,
        options: { threads: 2 },
        shape: manifest.shape,
        boundary: 'f32',
        layers: 1,
        graph: (slots) => files.decoder(block, block + 1, slots),
      })
      const alone_ms = await median(stage, manifest.shape.width, 1)
      const batched_ms = await median(stage, manifest.shape.width, BATCH)
      speeds.push({ weights, alone_ms, batched_ms: Number((batched_ms / BATCH).toPrecision(3)) })
      await stage.release()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
  return speeds
}

function held(manifest: ModelManifest, weights: WeightFormat): ModelManifest {
  const shape = { ...manifest.shape, context: Math.min(manifest.shape.context, BATCH) }
  return { ...manifest, shape, boundary: 'f32', blocks: manifest.blocks.map((block) => ({ ...block, weights })) }
}

/** Milliseconds of a run; the first one is not counted. */
async function median(stage: DecoderStage, width: number, count: number): Promise<number> {
  const rows = Buffer.concat(Array.from({ length: count }, (_, seed) => trialRow(width, 'f32', seed + 1)))
  const job = { rows: new Uint8Array(rows), count }
  const times: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const cache = stage.newCache(count)
    const started = process.hrtime.bigint()
    await stage.run([{ cache, ...job }])
    times.push(Number(process.hrtime.bigint() - started) / 1e6)
  }
  const sorted = times.slice(1).sort((a, b) => a - b)
  return Number(sorted[Math.floor(ROUNDS / 2)]!.toPrecision(3))
}
