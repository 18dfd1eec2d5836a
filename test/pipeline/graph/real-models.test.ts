/** Real models on real input: a detector, a noise suppressor with three caches, a voice-activity detector with state. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnyTensor } from '../../../src/onnx/index.ts'
import { GraphPipeline } from '../../../src/pipeline/index.ts'
import type { GraphRequest, Inference } from '../../../src/pipeline/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { samplesOf, spectra, waveOf } from './support/speech.ts'
import { f32 } from './support/models.ts'

const data = (name: string): string => fileURLToPath(new URL(`../../../../shared/data/${name}`, import.meta.url))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-real-'))
})

afterAll(() => rm(folder, { recursive: true }))

async function infer(
  model: string,
  parts: number,
  inputs: Record<string, AnyTensor>,
  request: GraphRequest = {},
): Promise<Inference> {
  const needs = { clock: systemClock(), cache: join(folder, 'cache'), codeCache: join(folder, 'code') }
  const pipeline = await GraphPipeline.open(needs, { path: data(model), parts, threads: 1 })
  try {
    return await pipeline.infer(new Map(Object.entries(inputs)), request)
  } finally {
    await pipeline.close()
  }
}

describe.skipIf(!existsSync(data('audio')))('real models (skipped: ../shared/data is not there)', () => {
  it('YOLOX-nano on two frames gives the same boxes in three processes as in one', async () => {
    const inputs = { images: f32([2, 3, 416, 416]) }
    const whole = await infer('vision/yolox_nano.onnx', 1, inputs, { microBatch: 1 })
    const split = await infer('vision/yolox_nano.onnx', 3, inputs, { microBatch: 1 })
    expect(whole.outputs.get('output')!.dims).toEqual([2, 3549, 85])
    expect([...split.outputs]).toEqual([...whole.outputs])
    expect(split.stats.counters).toMatchObject({ runs: 6, micro_batches: 2 })
    expect(split.route).toHaveLength(3)
  }, 60_000)

  it("GTCRN frame by frame in two processes cleans speech as its authors' program does", async () => {
    const noisy = samplesOf(readFileSync(data('audio/gtcrn_mix.wav'))).subarray(0, 16_000 * 2)
    const carries = ['conv', 'tra', 'inter'].map((name) => [`${name}_cache_out`, `${name}_cache`] as const)
    const mix = spectra(noisy)
    const split = await infer('audio/gtcrn_simple.onnx', 2, { mix }, { carries })
    const whole = await infer('audio/gtcrn_simple.onnx', 1, { mix }, { carries })
    expect([...split.outputs]).toEqual([...whole.outputs])
    expect(split.stats).toMatchObject({ kind: 'frames', units: mix.dims[0] })
    expect(split.stats.counters['state_kept']).toBeGreaterThan(2 * mix.dims[0]!)
    const clean = waveOf(split.outputs.get('enh')!)
    const reference = samplesOf(readFileSync(data('audio/gtcrn_enh_reference.wav')))
    // The last frames of the cut see silence where the reference goes on.
    let worst = 0
    for (let at = 0; at < noisy.length - 512; at++) worst = Math.max(worst, Math.abs(clean[at]! - reference[at]!))
    expect(worst).toBeLessThan(1e-3)
  }, 60_000)

  it('Silero VAD hears speech, and is told apart as a model that is not to be split', async () => {
    const samples = samplesOf(readFileSync(data('audio/gtcrn_mix.wav'))).subarray(0, 512 * 100)
    const frames = Float32Array.from({ length: 100 * 576 }, (_, index) => {
      const at = Math.floor(index / 576) * 512 + (index % 576) - 64
      return at < 0 ? 0 : samples[at]!
    })
    const inputs: Record<string, AnyTensor> = {
      input: { type: 'float32', dims: [100, 1, 576], data: frames },
      state: { type: 'float32', dims: [2, 1, 128], data: new Float32Array(256) },
      sr: { type: 'int64', dims: [], data: BigInt64Array.of(16_000n) },
    }
    const carries = [['stateN', 'state']] as const
    const split = await infer('audio/silero_vad_v5.onnx', 2, inputs, { carries })
    const whole = await infer('audio/silero_vad_v5.onnx', 1, inputs, { carries })
    expect(split.stats).toMatchObject({ parts: 1, verdict: 'do-not-split', counters: { state_kept: 99 } })
    expect([...split.outputs]).toEqual([...whole.outputs])
    const speech = [...(split.outputs.get('output')!.data as Float32Array)].filter((probability) => probability > 0.5)
    expect(speech.length).toBeGreaterThan(20)
  }, 60_000)
})
