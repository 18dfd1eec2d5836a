/**
 * A model with LongRoPE answers as if each token were computed from the whole text before it, without a cache: with one
 * list of factors while the text fits the first context, with the other beyond.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { referenceLogits } from '../models/support/decoder-reference.ts'
import { hubModel, TOKENIZER } from '../models/support/hub-models.ts'
import { writeHubFolder } from '../models/support/hub-writer.ts'

const MODEL = hubModel('phi3, longrope, three quarters rotated')
/** Of its configuration. */
const FIRST = 64
/** Two logits nearer than this may change places by rounding alone. */
const GAP = 1e-3
const PENALTY = 1.3

const prompt = (length: number): number[] => Array.from({ length }, (_, at) => 3 + ((at * 7919 + length * 31) % 200))

/** Each token from all rows before it; what it returns is sure, whoever rounds how. @param penalty of what was there before */
function greedy(ids: readonly number[], count: number, penalty = 1): number[] {
  const all = [...ids]
  for (let token = 0; token < count; token++) {
    const plain = referenceLogits(MODEL.config, MODEL.tensors, all).at(-1)!
    const seen = new Set(all)
    const logits = plain.map((x, id) => (!seen.has(id) ? x : x > 0 ? x / penalty : x * penalty))
    const [first, second] = logits.toSorted((one, other) => other - one)
    expect(first! - second!).toBeGreaterThan(GAP)
    all.push(logits.indexOf(first!))
  }
  return all.slice(ids.length)
}

describe('a text of a model with LongRoPE', () => {
  let folder: string
  let peer: LocalPeer

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-long-'))
    const source = writeHubFolder(join(folder, 'model'), { ...MODEL, tokenizer: TOKENIZER })
    peer = await createPeer({ home: join(folder, 'home'), offline: true, threads: 1, logLevel: 'warn' })
    await peer.importModel({ source, name: 'phi', weights: 'f32' })
  }, 60_000)
  afterAll(async () => {
    await peer.stop({ drain: 0 })
    await rm(folder, { recursive: true, force: true })
  })

  interface Told {
    readonly given: readonly number[]
    readonly outgrown: number
  }

  /** @param count of tokens; null: nobody says */
  async function answer(
    ids: readonly number[],
    count: number | null,
    more: Partial<GenerateRequest> = {},
  ): Promise<Told> {
    const wish = count === null ? {} : { maxTokens: count }
    const request = { model: 'phi', input: { kind: 'ids', ids }, sampling: GREEDY, ignoreEnd: true, ...wish } as const
    let told: Told | undefined
    for await (const event of peer.generate({ ...request, ...more }))
      if (event.type === 'end') told = { given: event.ids, outgrown: event.stats.counters['texts_outgrown']! }
    return told!
  }

  it.each([
    ['that stays within the first context', 20, 12, 0],
    ['whose last row is that of the first context', FIRST - 3, 4, 0],
    ['that is beyond it from the beginning', FIRST + 1, 12, 0],
    ['that outgrows it at once', FIRST, 6, 1],
    ['that outgrows it on its way', FIRST - 5, 16, 1],
  ])('%s is that of the reference', async (_, length, count, outgrown) => {
    const ids = prompt(length)
    expect(await answer(ids, count)).toEqual({ given: greedy(ids, count), outgrown })
  })

  it('is the same with guesses, and after texts that begin alike on either side', async () => {
    const ids = prompt(FIRST - 5)
    const wanted = greedy(ids, 16)
    expect((await answer(ids, 16, { speculate: 'lookup' })).given).toEqual(wanted)
    expect((await answer([...ids, ...wanted], 6)).given).toEqual(greedy([...ids, ...wanted], 6))
    expect((await answer(ids, 16)).given).toEqual(wanted)
  })

  it('ends with the first context where nobody asks for more', async () => {
    const ids = prompt(FIRST - 5)
    const { given, outgrown } = await answer(ids, null)
    expect({ given, outgrown }).toEqual({ given: greedy(ids, 5), outgrown: 0 })
  })

  it('counts what was chosen before it outgrew', async () => {
    const ids = prompt(FIRST - 5)
    const wanted = greedy(ids, 16, PENALTY)
    expect(wanted).not.toEqual(greedy(ids, 16))
    expect((await answer(ids, 16, { sampling: { ...GREEDY, repetitionPenalty: PENALTY } })).given).toEqual(wanted)
  })
})
