/** A model as logits, and what they say about a reference: the likelihood of a text, and the tokens chosen. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { importModel } from '../../../src/models/index.ts'
import type { WeightFormat } from '../../../src/models/index.ts'
import { argmax } from '../../../src/pipeline/host/sampler.ts'
import type { BlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { testModel } from './stages.ts'
import type { TestModel } from './stages.ts'

/** Logits nearer than this may change places when activations are rounded to 8 bits. */
const CLEAR_GAP = 0.5
/** Logits nearer than this may change places in float32 too, by the order in which sums are taken. */
const FLOAT_GAP = 1e-4
const CHUNK = 64

/** A greedy continuation by the reference. */
export interface Case {
  readonly prompt_ids: readonly number[]
  readonly ids: readonly number[]
  /** Between the two highest logits, at each step. */
  readonly gaps: readonly number[]
}

export interface Scorer {
  readonly model: TestModel
  /** Of each row from `first` on, after all before it. */
  logits(ids: readonly number[], first?: number): AsyncIterable<Float32Array>
  release(): Promise<void>
}

/** @param directory of the caches and the manifest, one a scorer */
export async function scorer(store: BlobStore, directory: string, source: URL, weights: WeightFormat): Promise<Scorer> {
  const needs = { store, directory, downloads: join(directory, 'downloads'), clock: systemClock() }
  const manifest = await importModel(needs, {
    source: fileURLToPath(source),
    name: 'scored',
    weights,
    boundary: weights === 'f32' ? 'f32' : 'f16',
  })
  const model = testModel(store, join(directory, 'cache'), manifest)
  const stage = await model.stage(1, manifest.shape.layers + 1)
  const head = await model.head()
  return {
    model,
    async *logits(ids, first = 0) {
      const cache = stage.newCache(ids.length)
      for (let at = 0; at < ids.length; at += CHUNK) {
        const chunk = ids.slice(at, at + CHUNK)
        const [rows] = await stage.run([{ cache, rows: model.embed(chunk), count: chunk.length }])
        const each = chunk.map((_, row) => rows!.subarray(row * model.rowBytes, (row + 1) * model.rowBytes))
        const wanted = each.slice(Math.max(0, first - at))
        if (wanted.length > 0) yield* await head.run(wanted)
      }
    },
    async release() {
      await stage.release()
      await head.release()
    },
  }
}

/** Mean nats of every token after the first. */
export async function likelihood(scored: Scorer, ids: readonly number[]): Promise<number> {
  let sum = 0
  let at = 0
  for await (const row of scored.logits(ids)) {
    const next = ids[++at]
    if (next !== undefined) sum += logSumExp(row) - row[next]!
  }
  return sum / (ids.length - 1)
}

function logSumExp(row: Float32Array): number {
  const most = row[argmax(row)]!
  let sum = 0
  for (const value of row) sum += Math.exp(value - most)
  return most + Math.log(sum)
}

/** The token that each position of the reference's continuation would get, with the reference's tokens before it. */
async function choices(scored: Scorer, { prompt_ids, ids }: Case): Promise<number[]> {
  const all = [...prompt_ids, ...ids.slice(0, -1)]
  const out: number[] = []
  for await (const row of scored.logits(all, prompt_ids.length - 1)) out.push(argmax(row))
  return out
}

/** The reference's tokens: all of them with float32 kernels, else those that are clear. */
export async function expectReference(scored: Scorer, cases: readonly Case[], exact: boolean): Promise<void> {
  for (const known of cases) {
    const chosen = await choices(scored, known)
    const clear = known.gaps.map((gap) => gap > (exact ? FLOAT_GAP : CLEAR_GAP))
    const pick = (ids: readonly number[]): number[] => ids.filter((_, step) => clear[step]!)
    expect(chosen).toHaveLength(known.ids.length)
    expect(pick(chosen)).toEqual(pick(known.ids))
  }
}
