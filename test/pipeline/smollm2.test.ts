/**
 * SmolLM2-135M against an independent float32 Llama (likelihood.test.ts says which): with float32 kernels the same
 * tokens, all of them; with rounded activations those that are clear.
 */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCatalogue, createTokenizer } from '../../src/models/index.ts'
import type { TokenizerDefinition } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { isWhole } from '../whole.ts'
import { expectReference, likelihood, scorer } from './support/scorer.ts'
import type { Case, Scorer } from './support/scorer.ts'
import { SMOL_CASES, SMOL_PASSAGE } from './support/smollm2-reference.ts'

const SMOL = new URL('../../../shared/models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url)
/** Nats a token. */
const TOLERANCE = 0.02
const FLOAT_TOLERANCE = 1e-4

/** Prompts of all kinds, 40 greedy tokens each. */
interface Prompt extends Omit<Case, 'prompt_ids'> {
  readonly name: string
  /** With control tokens; its ids by the reference's own tokenizer. */
  readonly text?: string
  readonly prompt_ids?: readonly number[]
  /** Instead of a text: so many tokens of the passage. */
  readonly passage?: number
}

const PROMPTS = JSON.parse(
  readFileSync(new URL('./fixtures/smollm2-float32.json', import.meta.url), 'utf8'),
) as readonly Prompt[]

/** Every sixth, of all lengths, or fewer; all of them (a minute) with `WEFT_TEST_ALL=1 npm test -- test/pipeline/smollm2.test.ts`. */
function sampled(weights: string): readonly Prompt[] {
  if (isWhole) return PROMPTS
  return PROMPTS.filter((_, index) => index % (weights === 'int8' ? 18 : 6) === 0)
}

const promptIds = ({ prompt_ids, passage }: Prompt): readonly number[] =>
  prompt_ids ?? SMOL_PASSAGE.ids.slice(0, passage)

let directory: string
let store: BlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-smollm2-'))
  store = await createBlobStore({ directory: join(directory, 'store') })
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** What peers hold a SmolLM2 of the mesh against. */
async function listedDigest(): Promise<string | undefined> {
  const catalogue = createCatalogue({ directories: [new URL('../../partitions/catalogue', import.meta.url).pathname] })
  return (await catalogue.find('smollm2:135m'))?.digest
}

async function tokenized(scored: Scorer): Promise<readonly (readonly number[])[]> {
  const definition = await store.readAll(scored.model.manifest.tokenizer.address)
  const tokenizer = createTokenizer(JSON.parse(Buffer.from(definition).toString('utf8')) as TokenizerDefinition)
  return PROMPTS.map((prompt) =>
    prompt.text === undefined ? promptIds(prompt) : tokenizer.encode(prompt.text, { special: true }),
  )
}

describe('the prompts of the reference', () => {
  it('are of all lengths, 40 tokens go on from each, and none is a toss-up in float32', () => {
    const lengths = PROMPTS.map((prompt) => promptIds(prompt).length)
    expect(Math.min(...lengths)).toBe(1)
    expect(Math.max(...lengths)).toBe(320)
    for (const { ids, gaps } of PROMPTS) expect([ids.length, gaps.length]).toEqual([40, 40])
    expect(Math.min(...PROMPTS.flatMap(({ gaps }) => gaps))).toBeGreaterThan(1e-3)
  })
})

describe.skipIf(!existsSync(SMOL))('SmolLM2-135M (skipped: ../shared/models is not there)', () => {
  it.each(isWhole ? (['auto', 'int8', 'f32'] as const) : (['f32'] as const))(
    'as %s keeps the likelihood of a passage, and the tokens that are clear; as f32 every token',
    async (weights) => {
      const own = join(directory, weights)
      const scored = await scorer(store, own, SMOL, weights)
      const exact = weights === 'f32'
      if (weights === 'auto') expect(scored.model.manifest.digest).toBe(await listedDigest())
      const distance = Math.abs((await likelihood(scored, SMOL_PASSAGE.ids)) - SMOL_PASSAGE.nll)
      expect(distance).toBeLessThan(exact ? FLOAT_TOLERANCE : TOLERANCE)
      await expectReference(scored, SMOL_CASES, exact)
      await expectReference(
        scored,
        sampled(weights).map((prompt) => ({ ...prompt, prompt_ids: promptIds(prompt) })),
        exact,
      )
      if (exact) expect(await tokenized(scored)).toEqual(PROMPTS.map(promptIds))
      await scored.release()
      // 0.6 GB as f32.
      await rm(own, { recursive: true })
    },
    240_000,
  )
})
