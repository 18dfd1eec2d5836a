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
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTokenizer } from '../../src/models/index.ts'
import type { TokenizerDefinition } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { expectReference, likelihood, scorer } from './support/scorer.ts'
import type { Case } from './support/scorer.ts'

const TINY = new URL('../../partitions/weft-tiny/', import.meta.url)
/** Nats a token by which a format may leave the reference; where it leaves it less, by how much in float32. */
const TOLERANCE = 0.02
const FLOAT_TOLERANCE = 1e-4

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-likelihood-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

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
    const scored = await scorer(store, join(directory, weights), new URL('weft-tiny.gguf', TINY), weights)
    const definition = await store.readAll(scored.model.manifest.tokenizer.address)
    const tokenizer = createTokenizer(JSON.parse(Buffer.from(definition).toString('utf8')) as TokenizerDefinition)
    const ids = tokenizer.encode(readFileSync(new URL('heldout-sample.txt', TINY), 'utf8')).slice(0, passage.tokens)
    expect(Math.abs((await likelihood(scored, ids)) - passage.nll)).toBeLessThan(tolerance)
    if (weights !== 'q4') await expectReference(scored, cases, weights === 'f32')
    await scored.release()
  })
})
