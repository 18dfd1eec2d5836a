/**
 * What each weight format costs: the log-likelihood of a fixed text, and the greedy tokens, against float32. The
 * figures come from an independent float32 Llama in numpy (its own GGUF reader, de-quantisation and attention), run
 * over the same ids: mean negative log-likelihood of every token after the first, and the greedy continuation with the
 * gap between the two highest logits at each step.
 */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTokenizer, importModel } from '../../src/models/index.ts'
import type { TokenizerDefinition, WeightFormat } from '../../src/models/index.ts'
import { argmax } from '../../src/pipeline/host/sampler.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { SMOL_CASES, SMOL_PASSAGE } from './support/smollm2-reference.ts'
import { testModel } from './support/stages.ts'
import type { TestModel } from './support/stages.ts'

const TINY = new URL('../../partitions/weft-tiny/', import.meta.url)
const SMOL = new URL('../../../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url)
/** Nats a token by which a format may leave the reference; where it leaves it less, by how much in float32. */
const TOLERANCE = 0.02
const FLOAT_TOLERANCE = 1e-4
/** Logits nearer than this may change places under rounding. */
const CLEAR_GAP = 0.5
const CHUNK = 64

export interface Case {
  readonly prompt_ids: readonly number[]
  readonly ids: readonly number[]
  readonly gaps: readonly number[]
}

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-likelihood-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** A model as logits. */
interface Scorer {
  readonly model: TestModel
  /** Of each row, after all before it. */
  logits(ids: readonly number[]): AsyncIterable<Float32Array>
  release(): Promise<void>
}

async function scorer(source: URL, weights: WeightFormat): Promise<Scorer> {
  const needs = { store, directory: join(directory, weights), downloads: join(directory, 'dl'), clock: systemClock() }
  const manifest = await importModel(needs, {
    source: fileURLToPath(source),
    name: 'scored',
    weights,
    boundary: weights === 'f32' ? 'f32' : 'f16',
    force: true,
  })
  const model = testModel(store, join(directory, 'cache'), manifest)
  const stage = await model.stage(1, manifest.shape.layers + 1)
  const head = await model.head()
  return {
    model,
    async *logits(ids) {
      const cache = stage.newCache(ids.length)
      for (let at = 0; at < ids.length; at += CHUNK) {
        const chunk = ids.slice(at, at + CHUNK)
        const [rows] = await stage.run([{ cache, rows: model.embed(chunk), count: chunk.length }])
        const each = chunk.map((_, row) => rows!.subarray(row * model.rowBytes, (row + 1) * model.rowBytes))
        yield* await head.run(each)
      }
    },
    async release() {
      await stage.release()
      await head.release()
    },
  }
}

/** Mean nats of every token after the first. */
async function likelihood(scored: Scorer, ids: readonly number[]): Promise<number> {
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
  let at = 0
  for await (const row of scored.logits(all)) if (++at >= prompt_ids.length) out.push(argmax(row))
  return out
}

async function expectReference(scored: Scorer, cases: readonly Case[], exact: boolean): Promise<void> {
  for (const known of cases) {
    const chosen = await choices(scored, known)
    const clear = known.gaps.map((gap) => exact || gap > CLEAR_GAP)
    const pick = (ids: readonly number[]): number[] => ids.filter((_, step) => clear[step]!)
    expect(pick(chosen)).toEqual(pick(known.ids))
  }
}

const tinyReference = new URL('reference.json', TINY)

describe.skipIf(!existsSync(tinyReference))('weft-tiny (skipped: partitions/weft-tiny is not there)', () => {
  interface Reference {
    readonly cases: readonly Case[]
    readonly passage: { readonly tokens: number; readonly nll: number }
  }

  it.each([
    ['auto', TOLERANCE],
    ['q4', 5 * TOLERANCE],
    ['int8', TOLERANCE],
    ['f32', FLOAT_TOLERANCE],
  ] as const)('as %s keeps the likelihood of a passage within %d nats a token', async (weights, tolerance) => {
    const { cases, passage } = JSON.parse(readFileSync(tinyReference, 'utf8')) as Reference
    const scored = await scorer(new URL('weft-tiny.gguf', TINY), weights)
    const definition = await store.readAll(scored.model.manifest.tokenizer.address)
    const tokenizer = createTokenizer(JSON.parse(Buffer.from(definition).toString('utf8')) as TokenizerDefinition)
    const ids = tokenizer.encode(readFileSync(new URL('heldout-sample.txt', TINY), 'utf8')).slice(0, passage.tokens)
    expect(Math.abs((await likelihood(scored, ids)) - passage.nll)).toBeLessThan(tolerance)
    if (weights !== 'q4') await expectReference(scored, cases, weights === 'f32')
    await scored.release()
  })
})

describe.skipIf(!existsSync(SMOL))('SmolLM2-135M (skipped: ../shared/models is not there)', () => {
  it.each(['auto', 'int8'] as const)(
    'as %s keeps the likelihood of a passage within 0.02 nats a token, and the tokens that are clear',
    async (weights) => {
      const scored = await scorer(SMOL, weights)
      expect(Math.abs((await likelihood(scored, SMOL_PASSAGE.ids)) - SMOL_PASSAGE.nll)).toBeLessThan(TOLERANCE)
      await expectReference(scored, SMOL_CASES, false)
      await scored.release()
    },
    120_000,
  )
})
